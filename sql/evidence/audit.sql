-- name: acts_since
-- What the operations did, from their own rows of the audit log. ACCESS SHARE on the partitions that
-- can hold such rows; reads their index on created_at.
SELECT id, created_at, action, table_name, new_values::text
FROM audit_log
WHERE user_id = %(system_user)s
  AND created_at >= %(since)s
  AND action <> 'evidence.head'
ORDER BY created_at, id;

-- name: noted_heads
-- The newest heads of one chain that its runs have noted. ACCESS SHARE on the partitions that can hold
-- such rows; reads their index on created_at.
SELECT (new_values ->> 'number')::integer, new_values ->> 'sha256'
FROM audit_log
WHERE user_id = %(system_user)s
  AND created_at >= %(since)s
  AND action = 'evidence.head'
  AND new_values ->> 'chain' = %(chain)s
ORDER BY created_at DESC, id
LIMIT 100;
