-- Streaming replicas, with what they lag behind. replay_lag is NULL for a replica that has caught
-- up and is idle.
SELECT
    coalesce(nullif(r.application_name, ''), r.client_addr::text, r.pid::text) AS name,
    coalesce(r.state, '') AS state,
    coalesce(extract(epoch FROM r.replay_lag), 0)::float8 AS lag_seconds,
    coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn), 0)::bigint AS lag_bytes
FROM pg_stat_replication AS r
WHERE NOT pg_is_in_recovery()
ORDER BY name;
