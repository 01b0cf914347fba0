-- name: data_directory
-- Where the server keeps its data. Needs pg_monitor.
SELECT current_setting('data_directory');

-- name: server_bytes
-- What all databases and the WAL occupy. Needs pg_monitor; reads the sizes of all files.
SELECT
    (SELECT sum(pg_database_size(oid)) FROM pg_database)
    + (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir());

-- name: blockers
-- Why an index of this table should not be rebuilt right now: a rebuild waits for every writer on
-- the table and for every snapshot of this database, and the table's vacuum waits for it. Needs
-- pg_monitor to see other users' sessions.
SELECT format('wraparound vacuum by process %%s', a.pid) AS blocker
FROM pg_stat_progress_vacuum AS p
JOIN pg_stat_activity AS a ON a.pid = p.pid
WHERE p.datname = current_database()
  AND p.relid = %(table)s
  AND a.query LIKE '%%(to prevent wraparound)'
UNION ALL
SELECT format('rebuild by process %%s', p.pid)
FROM pg_stat_progress_create_index AS p
WHERE p.datname = current_database()
  AND p.relid = %(table)s
UNION ALL
SELECT format(
    '%%s of session %%s (%%s), open for %%s',
    CASE WHEN a.backend_xmin IS NULL THEN 'transaction' ELSE 'snapshot' END,
    a.pid, a.application_name, date_trunc('second', clock_timestamp() - a.xact_start)
)
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
  AND a.pid <> pg_backend_pid()
  AND a.backend_type <> 'autovacuum worker'
  AND a.xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
  AND (
      a.backend_xmin IS NOT NULL
      OR EXISTS (
          SELECT
          FROM pg_locks AS l
          WHERE l.pid = a.pid
            AND l.granted
            AND l.locktype = 'relation'
            AND l.relation = %(table)s
            AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'AccessExclusiveLock')
      )
  )
UNION ALL
SELECT format('prepared transaction %%s', p.gid)
FROM pg_prepared_xacts AS p
WHERE p.database = current_database();

-- name: replication_lag_bytes
-- How far the slowest replica is behind, in bytes of WAL; 0 without replicas. Needs pg_monitor.
SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), 0)::bigint
FROM pg_stat_replication
WHERE replay_lsn IS NOT NULL;
