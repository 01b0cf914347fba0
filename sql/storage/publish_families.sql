-- One batch, its own transaction. SKIP LOCKED: whoever is being changed by the application is
-- left for a later round, so we never wait for a row while holding others and can't be part of a
-- deadlock. Only storage_used_bytes is set, on the newest version of the row. NO KEY UPDATE does
-- not hinder inserts that reference it.
WITH free AS MATERIALIZED (
    SELECT r.id
    FROM families AS r
    WHERE r.id = ANY (%(ids)s)
    ORDER BY r.id
    FOR NO KEY UPDATE SKIP LOCKED
)

UPDATE families AS r
SET storage_used_bytes = coalesce(total.bytes, 0)
FROM free
LEFT JOIN ops.storage_families AS total ON total.family_id = free.id
WHERE r.id = free.id
  AND r.storage_used_bytes IS DISTINCT FROM coalesce(total.bytes, 0);
