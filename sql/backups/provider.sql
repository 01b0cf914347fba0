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
-- Which cluster this is, the size of its WAL segments in bytes, and the timeline that it writes. That is
-- asked of the log: the control file names the one before until the first checkpoint after a promotion.
SELECT
    (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
    (SELECT bytes_per_wal_segment FROM pg_control_init()) AS segment_bytes,
    CASE
        WHEN NOT pg_is_in_recovery()
            THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
    END AS timeline;

-- name: is_recorded
-- Whether a copy has the row that was committed when this backup was begun.
SELECT EXISTS (SELECT FROM ops.backups WHERE name = %(name)s);

-- name: sleep
-- By the server's clock, which is the one that counts. Holds no snapshot of any use and no lock.
SELECT pg_sleep(%(seconds)s);
