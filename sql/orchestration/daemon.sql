-- name: hold_daemons_lock
-- Which session holds the daemon's lock, and whether this one has only just taken it: an advisory lock
-- of the session, tried and not waited for. No row when another one took it in between. A session that
-- holds it already would be given it once more: of a pooler's, many daemons may have the same one.
-- Reads shared memory of Dagster's own database.
WITH holder AS MATERIALIZED (
    SELECT concat(l.pid, ' since ', a.backend_start) AS name
    FROM pg_locks AS l
    LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'advisory'
      AND l.granted
      AND l.objsubid = 1
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND ((l.classid::bigint << 32) | l.objid::bigint)
          = hashtextextended('ft-ops dagster daemon', 0)
),
tried AS MATERIALIZED (
    SELECT CASE
        WHEN EXISTS (SELECT FROM holder) THEN false
        ELSE pg_try_advisory_lock(hashtextextended('ft-ops dagster daemon', 0))
    END AS is_taken
)
SELECT h.name, false AS is_taken
FROM holder AS h
UNION ALL
SELECT concat(a.pid, ' since ', a.backend_start), true
FROM tried AS t
JOIN pg_stat_activity AS a ON a.pid = pg_backend_pid()
WHERE t.is_taken;

-- name: take_daemons_lock_away
-- Ends the session that holds it, of the same role: its daemon has shown no life for minutes. No lock.
SELECT pg_terminate_backend(l.pid)
FROM pg_locks AS l
WHERE l.locktype = 'advisory'
  AND l.granted
  AND l.objsubid = 1
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND ((l.classid::bigint << 32) | l.objid::bigint)
      = hashtextextended('ft-ops dagster daemon', 0);
