-- Writes a small record into the log and flushes it. lsn is its end; the segment is the one that
-- holds its last byte.
SELECT
    lsn::text AS lsn,
    pg_walfile_name(lsn) AS wal
FROM pg_create_restore_point(%(name)s) AS lsn;
