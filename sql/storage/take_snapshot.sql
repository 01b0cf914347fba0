-- The first statement of a REPEATABLE READ transaction: takes its snapshot and names it.
SELECT
    pg_current_snapshot()::text AS name,
    pg_current_wal_insert_lsn()::text AS lsn,
    clock_timestamp() AS taken_at;
