-- name: drop_purged
-- ACCESS EXCLUSIVE on the table, which stands alone, and for an instant on threads and users,
-- which its foreign keys reference: only under a short lock_timeout.
DROP TABLE IF EXISTS {table};

-- name: delete_purged_rows
-- Rows whose key is gone: those that a purge has removed. The table stands alone, so no trigger
-- takes them for erased by the application.
DELETE FROM {table} AS s
WHERE NOT EXISTS (SELECT FROM content_segment_keys AS k WHERE k.id = s.id);

-- name: drop_purge_ids
-- This session's own.
DROP TABLE IF EXISTS pg_temp.purge_ids;

-- name: create_purge_ids
-- The month's ids by bucket: each batch reads its part of this narrow table and probes the month by
-- id. One scan of the month.
CREATE TEMPORARY TABLE purge_ids AS
SELECT id, get_byte(uuid_send(id), 15)::smallint AS bucket
FROM {segments}
ORDER BY bucket;

-- name: index_purge_ids
-- Lets each batch read its buckets only: unindexed, the whole month would be read for every batch.
-- Sorted already; the session's own table.
CREATE INDEX ON purge_ids (bucket);

-- name: analyze_purge_ids
-- Autovacuum doesn't see a session's own table: without statistics a batch is planned as a scan.
ANALYZE purge_ids;

-- name: purge_id_buckets
-- Segments by bucket, ascending. A scan of the session's own table.
SELECT bucket, count(*)
FROM purge_ids
GROUP BY bucket
ORDER BY bucket;

-- name: delete_keys
-- Row locks on some thousand keys and on the narrations, tags and links that their cascade
-- takes; the foreign keys' indexes serve it.
DELETE FROM content_segment_keys AS k
USING purge_ids AS p
WHERE p.bucket = ANY (%(buckets)s)
  AND k.id = p.id;

-- name: batch_segments
-- A relation: the segments of some buckets. Index probes of the month by id.
(
    SELECT s.*
    FROM purge_ids AS p
    JOIN {segments} AS s ON s.id = p.id
    WHERE p.bucket = ANY ({buckets})
);
