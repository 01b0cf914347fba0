-- name: can_monitor
-- Whether this role sees other users' sessions and statistics.
SELECT pg_has_role('pg_read_all_stats', 'USAGE');

-- name: others_at_work
-- Whether a client other than the operations has been at work in this database within the last
-- second. Of other roles' sessions only pg_monitor sees the state; whom it can't see counts as at
-- work. Reads shared memory.
SELECT EXISTS (
    SELECT FROM pg_stat_activity AS a
    WHERE a.datname = current_database()
      AND coalesce(a.backend_type, 'client backend') = 'client backend'
      AND a.application_name NOT LIKE 'ft-ops %'
      AND (
          a.state IS NULL
          OR a.state <> 'idle'
          OR a.state_change > clock_timestamp() - interval '1 second'
      )
);

-- name: is_waited_for
-- Whether anybody waits for a lock that one of these sessions holds, or is before him in a queue. Looks
-- at the lock table once for each session that waits for a lock at all. Needs pg_monitor to see them.
SELECT EXISTS (
    SELECT FROM pg_stat_activity AS a
    WHERE a.wait_event_type = 'Lock'
      AND pg_blocking_pids(a.pid) && %(sessions)s::integer[]
);

-- name: replica_lag
-- How far the slowest replica is behind: seconds that it needs to replay, and bytes of log; 0 without
-- replicas. Needs pg_monitor.
SELECT
    coalesce(max(extract(epoch FROM r.replay_lag)), 0)::float8 AS seconds,
    coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn)), 0)::bigint AS bytes
FROM pg_stat_replication AS r;

-- name: canary
-- What the application does all day: one thread's segments, found by index in every partition.
-- A few pages each. ACCESS SHARE on both tables.
SELECT count(*)
FROM content_segments AS cs
WHERE cs.thread_id = (
    SELECT t.id
    FROM threads AS t
    WHERE t.id >= %(somewhere)s
    ORDER BY t.id
    LIMIT 1
)
  AND NOT cs.is_deleted;
