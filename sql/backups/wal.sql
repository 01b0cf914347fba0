-- name: archiver_state
-- How far the log is written, and what the server believes of its archive.
SELECT
    pg_current_wal_insert_lsn()::text AS lsn,
    pg_walfile_name(pg_current_wal_insert_lsn()) AS wal,
    current_setting('archive_mode') <> 'off' AS is_archiving,
    last_archived_wal,
    last_archived_time,
    last_failed_wal,
    last_failed_time,
    clock_timestamp() AS now
FROM pg_stat_archiver;
