-- Seconds that the slowest replica needs to replay, 0 without replicas. Needs pg_monitor.
SELECT coalesce(max(extract(epoch FROM replay_lag)), 0)
FROM pg_stat_replication;
