-- name: advisory_lock_holder
-- Which session, or prepared transaction, holds an advisory lock of this database, and whether it may
-- be one of ours: whoever may connect may take any such lock. The stranger comes first, if there are
-- several. Reads shared memory and the catalog.
SELECT
    a.pid,
    coalesce(a.usename, prepared.owner, '?')::text AS role,
    coalesce(a.application_name, prepared.gid, '') AS application,
    coalesce(a.backend_start, prepared.prepared, clock_timestamp()) AS since,
    coalesce(a.state, '') AS state,
    NOT coalesce(pg_has_role(coalesce(a.usename, prepared.owner), current_user, 'MEMBER'), false)
        AS is_stranger
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
LEFT JOIN pg_locks AS own
    ON l.pid IS NULL AND own.pid IS NULL AND own.locktype = 'transactionid'
    AND own.virtualtransaction = l.virtualtransaction
LEFT JOIN pg_prepared_xacts AS prepared ON prepared.transaction = own.transactionid
WHERE l.locktype = 'advisory'
  AND l.granted
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.objsubid = 1
  AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND ((l.classid::bigint << 32) | l.objid::bigint)
      = coalesce(%(key)s::bigint, hashtextextended(%(name)s::text, 0))
ORDER BY is_stranger DESC, since
LIMIT 1;

-- name: locked_now
-- The tables of this database that somebody else has for himself alone, or also those that he reads,
-- and who: what a statement may have waited for. Reads shared memory and the catalog.
SELECT array_agg(DISTINCT c.oid::regclass::text) AS relations, a.pid,
    coalesce(a.usename, '?')::text AS role, coalesce(a.application_name, '') AS application,
    coalesce(a.xact_start, a.backend_start) AS since
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
JOIN pg_class AS c ON c.oid = l.relation
WHERE l.locktype = 'relation'
  AND l.granted
  AND (
      %(also_read)s
      OR l.mode IN ('ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  )
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.pid <> pg_backend_pid()
  AND c.relkind IN ('r', 'p', 'm')
  AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
GROUP BY a.pid, a.usename, a.application_name, a.xact_start, a.backend_start
ORDER BY since, a.pid
LIMIT 5;

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

-- name: table_lock_holders
-- Sessions and prepared transactions that hold a table, or a partition of it, in one of these modes,
-- oldest first. Reads shared memory, and the catalog for the partitions.
WITH RECURSIVE tree AS (
    SELECT %(table)s::oid AS oid
    UNION ALL
    SELECT link.inhrelid FROM tree JOIN pg_inherits AS link ON link.inhparent = tree.oid
)

SELECT
    l.pid,
    coalesce(a.usename, prepared.owner, a.backend_type, '?')::text AS role,
    coalesce(a.application_name, prepared.gid, '') AS application,
    coalesce(a.xact_start, a.backend_start, prepared.prepared, clock_timestamp()) AS since,
    coalesce(a.state, '') AS state,
    coalesce(a.backend_type = 'autovacuum worker', false) AS is_autovacuum,
    coalesce(min(p.name) || CASE WHEN count(DISTINCT p.name) > 1 THEN
        format(' and %%s more', count(DISTINCT p.name) - 1) ELSE ''
    END, '') AS partitions
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
LEFT JOIN pg_locks AS own
    ON l.pid IS NULL AND own.pid IS NULL AND own.locktype = 'transactionid'
    AND own.virtualtransaction = l.virtualtransaction
LEFT JOIN pg_prepared_xacts AS prepared ON prepared.transaction = own.transactionid
CROSS JOIN LATERAL (
    SELECT CASE WHEN l.relation <> %(table)s THEN l.relation::regclass::text END AS name
) AS p
WHERE l.locktype = 'relation'
  AND l.granted
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.relation IN (SELECT oid FROM tree)
  AND l.mode = ANY (%(modes)s)
  AND l.pid IS DISTINCT FROM pg_backend_pid()
GROUP BY 1, 2, 3, a.xact_start, a.backend_start, prepared.prepared, 5, 6
ORDER BY since;
