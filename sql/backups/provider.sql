-- name: create_restore_point
-- Writes a small record into the log and flushes it. lsn is its end; the segment is the one that
-- holds its last byte.
SELECT
    lsn::text AS lsn,
    pg_walfile_name(lsn) AS wal
FROM pg_create_restore_point(%(name)s) AS lsn;

-- name: switch_wal
-- Completes the open segment, so that it is archived; nothing happens when it is empty.
SELECT pg_switch_wal();

-- name: cluster
-- Which cluster this is, and the size of its WAL segments in bytes.
SELECT
    (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
    (SELECT bytes_per_wal_segment FROM pg_control_init()) AS segment_bytes;

-- name: is_recorded
-- Whether a copy has the row that was committed when this backup was begun.
SELECT EXISTS (SELECT FROM ops.backups WHERE name = %(name)s);

-- name: sleep
-- By the server's clock, which is the one that counts. Holds no snapshot of any use and no lock.
SELECT pg_sleep(%(seconds)s);
