-- How far the slowest replica is behind, in bytes of WAL; 0 without replicas. Needs pg_monitor.
SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), 0)::bigint
FROM pg_stat_replication
WHERE replay_lsn IS NOT NULL;
