-- ACCESS EXCLUSIVE on the table, which stands alone, and for an instant on threads and users,
-- which its foreign keys reference: only under a short lock_timeout.
DROP TABLE IF EXISTS {table};
