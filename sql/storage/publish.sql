-- name: publish_families
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

-- name: publish_users
-- One batch, its own transaction. SKIP LOCKED: whoever is being changed by the application is
-- left for a later round, so we never wait for a row while holding others and can't be part of a
-- deadlock. Only storage_used_bytes is set, on the newest version of the row. NO KEY UPDATE does
-- not hinder inserts that reference it.
WITH free AS MATERIALIZED (
    SELECT r.id
    FROM users AS r
    WHERE r.id = ANY (%(ids)s)
    ORDER BY r.id
    FOR NO KEY UPDATE SKIP LOCKED
)

UPDATE users AS r
SET storage_used_bytes = coalesce(total.bytes, 0)
FROM free
LEFT JOIN ops.storage_users AS total ON total.user_id = free.id
WHERE r.id = free.id
  AND r.storage_used_bytes IS DISTINCT FROM coalesce(total.bytes, 0);

-- name: stale_families
-- Who shows another figure than the totals hold; who has no total has no content. Reads the
-- whole table; ACCESS SHARE.
SELECT r.id
FROM families AS r
LEFT JOIN ops.storage_families AS total ON total.family_id = r.id
WHERE r.storage_used_bytes IS DISTINCT FROM coalesce(total.bytes, 0)
ORDER BY r.id;

-- name: stale_users
-- Who shows another figure than the totals hold; who has no total has no content. Reads the
-- whole table; ACCESS SHARE.
SELECT r.id
FROM users AS r
LEFT JOIN ops.storage_users AS total ON total.user_id = r.id
WHERE r.storage_used_bytes IS DISTINCT FROM coalesce(total.bytes, 0)
ORDER BY r.id;

-- name: total_families
-- Each family's sum, over the books that are its own in this snapshot. Writes only what differs.
INSERT INTO ops.storage_families AS t (family_id, bytes)
SELECT counted.family_id, counted.bytes
FROM (
    SELECT f.id AS family_id, coalesce(sum(b.bytes), 0)::bigint AS bytes
    FROM families AS f
    LEFT JOIN memory_books AS mb ON mb.family_id = f.id
    LEFT JOIN ops.storage_books AS b ON b.memory_book_id = mb.id
    GROUP BY f.id
) AS counted
LEFT JOIN ops.storage_families AS old ON old.family_id = counted.family_id
WHERE old.bytes IS DISTINCT FROM counted.bytes
ON CONFLICT (family_id) DO UPDATE SET bytes = excluded.bytes;
