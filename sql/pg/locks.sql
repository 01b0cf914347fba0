-- name: advisory_lock_holder
-- Which session holds an advisory lock of this database. Reads shared memory.
SELECT
    a.pid,
    coalesce(a.usename, '?')::text AS role,
    coalesce(a.application_name, '') AS application,
    a.backend_start AS since
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory'
  AND l.granted
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.objsubid = 1
  AND ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended(%(name)s, 0)
LIMIT 1;

-- name: relation_lock_holders
-- Which sessions hold a lock on a table or index that keeps others waiting, the oldest first. Reads
-- shared memory, and the catalog for the relation's number.
SELECT
    a.pid,
    coalesce(a.usename, '?')::text AS role,
    coalesce(a.application_name, '') AS application,
    coalesce(a.xact_start, a.backend_start) AS since
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation'
  AND l.granted
  AND l.relation = to_regclass(%(relation)s)
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.mode IN (
      'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
      'AccessExclusiveLock'
  )
  AND l.pid <> pg_backend_pid()
ORDER BY since
LIMIT 3;
