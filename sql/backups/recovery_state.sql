-- Whether the server is still in recovery, and how far it has replayed.
SELECT
    pg_is_in_recovery() AS is_in_recovery,
    pg_last_wal_replay_lsn()::text AS replayed;
