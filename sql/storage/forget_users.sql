-- Sums of users that have no content left.
DELETE FROM ops.storage_users WHERE segments = 0;
