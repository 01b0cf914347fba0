-- Transactions of this database that a detach would have to wait for. Needs pg_monitor to see
-- other users' sessions.
SELECT
    pid,
    application_name,
    extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age_seconds,
    coalesce(state, 'unknown') AS state
FROM pg_stat_activity
WHERE datname = current_database()
  AND pid <> pg_backend_pid()
  AND xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
ORDER BY xact_start;
