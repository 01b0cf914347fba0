-- name: tables
-- Tables and materialized views that hold rows themselves and that a backup carries. Catalog
-- reads only.
SELECT
    n.nspname,
    c.relname
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm')
  AND c.relpersistence = 'p'
  AND c.relispopulated
  AND n.nspname <> 'information_schema'
  AND n.nspname !~ '^pg_'
  AND NOT EXISTS (
      SELECT FROM pg_depend AS d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
  )
ORDER BY n.nspname, c.relname;

-- name: fingerprint
-- One table's rows and the sum of their hashes. ACCESS SHARE; reads every row once. (r.*) is the
-- row even where a column is named r.
SELECT
    count(*),
    coalesce(sum(hashtextextended((r.*)::text, 0)), 0)
FROM ONLY {table} AS r;

-- name: export_snapshot
-- Lets another session see what this one sees, for as long as this transaction lasts.
SELECT pg_export_snapshot();

-- name: wal_position
-- Where the log is now, and what time it is there.
SELECT
    pg_current_wal_insert_lsn()::text AS lsn,
    pg_walfile_name(pg_current_wal_insert_lsn()) AS wal,
    clock_timestamp() AS now;

-- name: moment
-- The first statement of a snapshot: its name, and a moment before which everything visible was
-- committed. The clock is read before the snapshot is taken: statement_timestamp() is when the
-- statement arrived.
SELECT
    statement_timestamp() AS moment,
    pg_current_snapshot()::text AS snapshot;

-- name: unfinished_writers
-- Transactions of this database that have written something, or are about to. They hold the lock
-- on their transaction id from before their commit record is written until they have become
-- visible. is_committing: the commit record may be written already, and something is waited for.
SELECT
    l.transactionid::text AS xid,
    coalesce(a.wait_event IN ('SyncRep', 'WALSync', 'WALWrite', 'WALInsert'), false)
        AS is_committing
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'transactionid'
  AND l.mode = 'ExclusiveLock'
  AND l.granted
  AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND (a.datname IS NULL OR a.datname = current_database());

-- name: server_facts
-- What a copy of this database needs to be read.
SELECT
    current_database() AS database,
    current_setting('server_version_num')::integer AS server_version,
    (SELECT sum(pg_database_size(oid))::bigint FROM pg_database) AS cluster_bytes,
    current_setting('shared_preload_libraries') AS preloaded,
    (SELECT jsonb_object_agg(extname, extversion) FROM pg_extension) AS extensions;
