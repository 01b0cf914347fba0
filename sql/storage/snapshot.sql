-- name: export_snapshot
-- Lets other sessions read by the very snapshot of this transaction, until it ends.
SELECT pg_export_snapshot();

-- name: lock_content
-- Before the snapshot is taken: while this is held no partition can leave content_segments, so
-- what the snapshot sees of the catalog is what its queries read. ACCESS SHARE, like any reader.
LOCK TABLE content_segments IN ACCESS SHARE MODE;

-- name: take_snapshot
-- The first statement of a REPEATABLE READ transaction: takes its snapshot and names it.
SELECT
    pg_current_snapshot()::text AS name,
    pg_current_wal_insert_lsn()::text AS lsn,
    clock_timestamp() AS taken_at;

-- name: latest_snapshot
-- The snapshot that the totals in ops belong to.
SELECT snapshot AS name, lsn::text AS lsn, taken_at
FROM ops.storage_recomputations
ORDER BY id DESC
LIMIT 1;

-- name: first_recomputation
-- When storage was computed for the first time. Reads a table of one row a day.
SELECT min(taken_at) FROM ops.storage_recomputations;

-- name: latest_full
-- The newest recomputation of every month.
SELECT taken_at, disagreements, examples
FROM ops.storage_recomputations
WHERE kind = 'every month'
ORDER BY id DESC
LIMIT 1;
