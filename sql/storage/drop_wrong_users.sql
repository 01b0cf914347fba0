-- Sums that the rollup does not hold at all. Deletes nothing unless a sum and its months disagree.
DELETE FROM ops.storage_users AS s
WHERE NOT EXISTS (SELECT FROM ops.storage_rollup AS r WHERE r.user_id = s.user_id);
