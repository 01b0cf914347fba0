-- name: say_alive
-- The shared advisory lock that says that a run's process lives, for as long as this session does.
-- Shared: after a cut, the session before may hold it for some moments more.
SELECT pg_advisory_lock_shared(hashtextextended('ft-ops run ' || %(run_id)s, 0));

-- name: silent_runs
-- Of these runs, those whose process holds no such lock. Reads shared memory.
SELECT r.id
FROM unnest(%(runs)s::text[]) AS r (id)
WHERE NOT EXISTS (
    SELECT
    FROM pg_locks AS l
    WHERE l.locktype = 'advisory'
      AND l.granted
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND ((l.classid::bigint << 32) | l.objid::bigint)
          = hashtextextended('ft-ops run ' || r.id, 0)
);
