-- name: acts_since
-- What the operations did, from their own rows of the audit log. ACCESS SHARE on the partitions that
-- can hold such rows; reads their index on created_at.
SELECT id, created_at, action, table_name, new_values::text AS new_values
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

-- name: rows_elsewhere
-- Which of these rows are there at all, whoever they are said to be of and whenever. ACCESS SHARE on every
-- partition; one probe of each partition's primary key for each of at most 1,000 ids.
SELECT DISTINCT id
FROM audit_log
WHERE id = ANY (%(ids)s);
