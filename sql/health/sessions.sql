-- Sessions that hold something up: waiting for a lock, making others wait, or keeping an old
-- snapshot or an idle transaction open. Seconds by the server's clock; a session that only sleeps
-- is left out, and so is this one. Text of queries stays in the server: it may hold content.
SELECT
    a.pid,
    coalesce(a.usename, a.backend_type) AS user_name,
    coalesce(a.application_name, '') AS application,
    coalesce(a.state, '') AS state,
    coalesce(a.wait_event_type || ' ' || a.wait_event, '') AS waits_for,
    coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float8
        AS transaction_seconds,
    coalesce(extract(epoch FROM clock_timestamp() - a.state_change), 0)::float8 AS state_seconds,
    coalesce(extract(epoch FROM clock_timestamp() - waiting.since), 0)::float8 AS blocked_seconds,
    a.backend_xmin IS NOT NULL AS holds_snapshot,
    pg_blocking_pids(a.pid) AS blocked_by
FROM pg_stat_activity AS a
LEFT JOIN LATERAL (
    SELECT min(l.waitstart) AS since FROM pg_locks AS l WHERE l.pid = a.pid AND NOT l.granted
) AS waiting ON true
WHERE a.pid <> pg_backend_pid()
  AND (a.xact_start IS NOT NULL OR waiting.since IS NOT NULL)
ORDER BY a.xact_start, a.pid;
