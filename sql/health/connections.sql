-- name: connection_limits
-- What a server can take, the application's role and this database, and what is taken: client backends
-- of all databases. A limit that nobody set is NULL. Needs pg_monitor
-- to see other users' sessions whole. Statistics views only.
SELECT
    current_setting('max_connections')::integer AS max_connections,
    current_setting('superuser_reserved_connections')::integer
        + coalesce(current_setting('reserved_connections', true), '0')::integer AS reserved,
    count(*)::integer AS used,
    (count(*) FILTER (WHERE a.usename = %(app_role)s))::integer AS application,
    (count(*) FILTER (WHERE a.state LIKE 'idle in transaction%%'))::integer AS idle_in_transaction,
    (count(*) FILTER (WHERE a.datname = current_database()))::integer AS here,
    (
        SELECT nullif(r.rolconnlimit, -1) FROM pg_roles AS r WHERE r.rolname = %(app_role)s
    ) AS application_limit,
    (
        SELECT nullif(d.datconnlimit, -1) FROM pg_database AS d WHERE d.datname = current_database()
    ) AS here_limit
FROM pg_stat_activity AS a
WHERE a.backend_type = 'client backend';

-- name: sessions
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

-- name: prepared_transactions
-- Transactions prepared for two-phase commit and forgotten: they hold locks and the xmin horizon,
-- and belong to no session.
SELECT
    gid,
    extract(epoch FROM clock_timestamp() - prepared)::float8 AS seconds
FROM pg_prepared_xacts
ORDER BY prepared;

-- name: replicas
-- Streaming replicas, with what they lag behind. replay_lag is NULL for a replica that has caught
-- up and is idle. Those of one name, such as walreceiver, are told apart by their addresses.
SELECT
    concat_ws(
        ' at ',
        nullif(r.application_name, ''),
        CASE
            WHEN r.application_name = '' OR count(*) OVER (PARTITION BY r.application_name) > 1
                THEN coalesce(host(r.client_addr), r.pid::text)
        END
    ) AS name,
    coalesce(r.state, '') AS state,
    coalesce(extract(epoch FROM r.replay_lag), 0)::float8 AS lag_seconds,
    coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn), 0)::bigint AS lag_bytes
FROM pg_stat_replication AS r
WHERE NOT pg_is_in_recovery()
ORDER BY name;

-- name: slots
-- Replication slots, with the log that each holds back on the server's disk. A temporary slot goes
-- with its session.
SELECT
    s.slot_name AS name,
    s.slot_type AS kind,
    s.active AS is_active,
    coalesce(s.wal_status, '') AS wal_status,
    coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0)::bigint AS retained_bytes
FROM pg_replication_slots AS s
WHERE NOT s.temporary
  AND NOT pg_is_in_recovery()
ORDER BY s.slot_name;

-- name: former_replicas
-- Replicas of the last week, when each was seen last, and how many there were at most looks: a base backup
-- is one for some hours. Reads a week of two figures.
WITH looks AS (
    SELECT s.sampled_at
    FROM ops.metric_samples AS s
    WHERE s.metric = 'connections'
      AND s.subject = 'used'
      AND s.sampled_at BETWEEN now() - interval '7 days' AND now()
), seen AS (
    SELECT looks.sampled_at, r.subject
    FROM looks
    LEFT JOIN ops.metric_samples AS r
        ON r.metric = 'replica_lag_seconds'
        AND r.sampled_at = looks.sampled_at
), counted AS (
    SELECT count(seen.subject) AS replicas FROM seen GROUP BY seen.sampled_at
)

SELECT
    seen.subject AS name,
    max(seen.sampled_at) AS last_seen,
    (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY replicas) FROM counted)::integer AS usual
FROM seen
WHERE seen.subject IS NOT NULL
GROUP BY seen.subject
ORDER BY last_seen DESC, name;
