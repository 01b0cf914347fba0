-- name: latest_inventory
-- What was loaded last.
SELECT source, taken_at, objects, bytes, added, altered
FROM ops.media_inventories
ORDER BY id DESC
LIMIT 1;

-- name: media_version
-- The newest inventories that added an object, and that resized or lost one. The first one
-- counts as altering every size; both are 0 when there is none.
SELECT
    coalesce(max(id) FILTER (WHERE i.added > 0), 0) AS added,
    coalesce(max(id) FILTER (WHERE i.altered > 0), min(id), 0) AS altered
FROM ops.media_inventories AS i;

-- name: create_media_seen
-- Where an inventory is collected before it is compared.
CREATE TEMPORARY TABLE media_seen (
    key text NOT NULL,
    bytes bigint NOT NULL
) ON COMMIT DROP;

-- name: copy_media_seen
-- Loads a temporary table of the session; no lock that another session could meet.
COPY pg_temp.media_seen (key, bytes) FROM STDIN (FORMAT BINARY);

-- name: record_inventory
-- One row a loaded inventory, with the totals of what is known now: one scan of media_objects.
INSERT INTO ops.media_inventories (source, taken_at, objects, bytes, added, altered)
SELECT
    %(source)s, %(taken_at)s, count(*), coalesce(sum(m.bytes), 0), %(added)s, %(altered)s
FROM ops.media_objects AS m
RETURNING source, taken_at, objects, bytes, added, altered;

-- name: add_media
-- Objects that are new. A key comes once; should it come twice, the larger size counts.
INSERT INTO ops.media_objects AS m (key, bytes)
SELECT s.key, max(s.bytes)
FROM pg_temp.media_seen AS s
WHERE NOT EXISTS (SELECT FROM ops.media_objects AS known WHERE known.key = s.key)
GROUP BY s.key;

-- name: delete_vanished
-- Rollup rows whose content is gone.
DELETE FROM ops.storage_rollup AS r
USING pg_temp.storage_differences AS d
WHERE d.segments IS NULL
  AND (r.month, r.memory_book_id, r.user_id) = (d.month, d.memory_book_id, d.user_id);

-- name: lose_media
-- Objects that are gone.
DELETE FROM ops.media_objects AS m
WHERE NOT EXISTS (SELECT FROM pg_temp.media_seen AS s WHERE s.key = m.key);

-- name: resize_media
-- Objects whose size is another one now.
UPDATE ops.media_objects AS m
SET bytes = s.bytes
FROM (SELECT key, max(bytes) AS bytes FROM pg_temp.media_seen GROUP BY key) AS s
WHERE m.key = s.key
  AND m.bytes <> s.bytes;
