-- name: drop_purged
-- ACCESS EXCLUSIVE on the table, which stands alone, and for an instant on threads and users,
-- which its foreign keys reference: only under a short lock_timeout.
DROP TABLE IF EXISTS {table};

-- name: lock_alone
-- ACCESS EXCLUSIVE on a table that stands alone, until the transaction ends: only under a short
-- lock_timeout.
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;

-- name: count_rows
-- One scan of a table that stands alone.
SELECT count(*) FROM {table};

-- name: count_kept
-- Rows whose bucket no recorded removal names: these stay. One scan of a table that stands alone.
SELECT count(*)
FROM {table}
WHERE get_byte(uuid_send(id), 15) <> ALL (%(buckets)s);

-- name: drop_kept
-- A copy that a dead run left, in the operations' own schema. ACCESS EXCLUSIVE for an instant on
-- threads and users, which its foreign keys reference: only under a short lock_timeout.
DROP TABLE IF EXISTS {kept};

-- name: create_kept
-- A table of its own in the shape that the archive's parent adopts. SHARE ROW EXCLUSIVE on threads
-- and users for an instant, because of the foreign keys: only under a short lock_timeout.
CREATE TABLE {kept} (
    LIKE {parent} INCLUDING ALL,
    FOREIGN KEY (thread_id) REFERENCES threads (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users (id)
);

-- name: copy_kept
-- One scan of a table that stands alone. KEY SHARE locks on the threads and users of the rows that
-- stay: who deletes one of them waits for this statement, and then takes these rows too.
INSERT INTO {kept} ({columns})
SELECT {columns}
FROM {table}
WHERE get_byte(uuid_send(id), 15) <> ALL (%(buckets)s);

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
