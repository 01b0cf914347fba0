-- name: say_alive
-- The shared advisory lock that says that a run's process lives, for as long as this session does.
-- Shared: after a cut, the session before may hold it for some moments more. Tried: who waited for a
-- stranger would seem dead; the session's own name says the same.
SELECT pg_try_advisory_lock_shared(hashtextextended('ft-ops run ' || %(run_id)s, 0));

-- name: silent_runs
-- Of these runs, those whose process holds no such lock, and has no session of that name. What other
-- roles hold or are called says nothing of our runs. Reads shared memory.
SELECT r.id
FROM unnest(%(runs)s::text[]) AS r (id)
WHERE NOT EXISTS (
    SELECT
    FROM pg_locks AS l
    JOIN pg_stat_activity AS a ON a.pid = l.pid AND a.usename = current_user
    WHERE l.locktype = 'advisory'
      AND l.granted
      AND l.objsubid = 1
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND ((l.classid::bigint << 32) | l.objid::bigint)
          = hashtextextended('ft-ops run ' || r.id, 0)
)
AND NOT EXISTS (
    SELECT
    FROM pg_stat_activity AS a
    WHERE a.usename = current_user
      AND a.datname = current_database()
      AND a.application_name = 'ft-ops run ' || left(r.id, 8)
);

-- name: database_of_run
-- Which database the session is in, by what stays equal when its replica is promoted. No lock.
SELECT s.system_identifier || '/' || d.oid
FROM pg_control_system() AS s
JOIN pg_database AS d ON d.datname = current_database();
