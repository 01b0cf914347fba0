-- Where the log is now, and what time it is there.
SELECT
    pg_current_wal_insert_lsn()::text AS lsn,
    pg_walfile_name(pg_current_wal_insert_lsn()) AS wal,
    clock_timestamp() AS now;
