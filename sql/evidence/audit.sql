-- name: acts_since
-- What the operations did, from their own rows of the audit log. ACCESS SHARE on the partitions that
-- can hold such rows; reads their index on created_at.
SELECT id, created_at, action, table_name, new_values
FROM audit_log
WHERE user_id = %(system_user)s
  AND created_at >= %(since)s
ORDER BY created_at, id;
