-- name: tables
-- Tables and materialized views that hold rows themselves and that a backup carries. Catalog
-- reads only.
SELECT
    n.nspname,
    c.relname,
    c.oid::bigint
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
-- One table's rows and the sum of their hashes. ACCESS SHARE; reads every row once. r.* is the row
-- even where a column is named r. ROW() is of no type that somebody could have made a cast to text
-- for; 0::bigint leaves no room for a function of another signature.
SELECT
    count(*),
    coalesce(sum(hashtextextended(ROW(r.*)::text, 0::bigint)), 0)
FROM ONLY {table} AS r
WHERE {is_seen};

-- name: hashes
-- The hash of each row as `fingerprint` adds them up, for a cursor: who reads can rest in between.
-- ACCESS SHARE; reads every row once.
SELECT hashtextextended(ROW(r.*)::text, 0::bigint)
FROM ONLY {table} AS r
WHERE {is_seen};

-- name: hashes_of_parts
-- The same with the number of each row's part, as `parts` has them. ACCESS SHARE; reads every row
-- once.
SELECT
    split_part(ltrim(r.ctid::text, '('), ',', 1)::bigint / {blocks} AS number,
    hashtextextended(ROW(r.*)::text, 0::bigint)
FROM ONLY {table} AS r
WHERE {is_seen};

-- name: recount
-- How many rows a table has. ACCESS SHARE; reads every row's header once.
SELECT count(*)
FROM ONLY {table} AS r
WHERE {is_seen};

-- name: first_rows
-- The sum of the hashes of a table's first rows, by where they lie: it is another one where every
-- row's text has become another, as by ALTER TABLE. ACCESS SHARE; reads these rows.
SELECT coalesce(sum(first.hash), 0)
FROM (
    SELECT hashtextextended(ROW(r.*)::text, 0::bigint) AS hash
    FROM ONLY {table} AS r
    WHERE {is_seen}
    LIMIT 100
) AS first;

-- name: parts
-- The same for each run of so many blocks. ACCESS SHARE; reads every row once.
SELECT
    part.number,
    count(*),
    sum(part.hash)
FROM (
    SELECT
        split_part(ltrim(r.ctid::text, '('), ',', 1)::bigint / {blocks} AS number,
        hashtextextended(ROW(r.*)::text, 0::bigint) AS hash
    FROM ONLY {table} AS r
    WHERE {is_seen}
) AS part
GROUP BY part.number;

-- name: blocks
-- How large a table is. ACCESS SHARE for a moment: the rows of this one are read next.
SELECT pg_relation_size(%(oid)s::bigint::oid) / current_setting('block_size')::bigint;

-- name: is_as_in_snapshot
-- Whether a table has the file now that it had in this transaction's snapshot, under its name:
-- pg_class is read by the snapshot, the function by what is committed. Catalog reads only.
SELECT
    c.relfilenode = pg_relation_filenode(c.oid)
    AND to_regclass(%(name)s) = c.oid
FROM pg_class AS c
WHERE c.oid = %(oid)s::bigint::oid;

-- name: unlogged_tables
-- Tables whose rows no backup carries. Catalog reads only.
SELECT n.nspname || '.' || c.relname
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r'
  AND c.relpersistence = 'u'
  AND n.nspname <> 'information_schema'
  AND n.nspname !~ '^pg_'
ORDER BY 1;

-- name: materialized_views
-- Those that a dump fills anew when it is restored. Catalog reads only.
SELECT n.nspname || '.' || c.relname
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_';

-- name: sequences
-- Where each sequence is: the value that it gave last, or the one before its first. What this role
-- may not read is left out. Nothing is known of one that somebody has to himself, or that was locked
-- when the list was made. ROW EXCLUSIVE for a moment on each of the others; none keeps nextval from
-- going on.
SELECT
    n.nspname || '.' || c.relname AS name,
    CASE WHEN NOT access.is_held THEN
        coalesce(pg_sequence_last_value(c.oid)::numeric, s.seqstart::numeric - s.seqincrement)
    END AS at,
    s.seqincrement AS step,
    -- nextval logs 32 values ahead (SEQ_LOG_VALS), and a session takes so many at once.
    s.seqincrement::numeric * (32 + s.seqcache) AS ahead
FROM pg_sequence AS s
JOIN pg_class AS c ON c.oid = s.seqrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT c.oid = ANY (%(locked)s::oid[]) OR EXISTS (
        SELECT
        FROM pg_locks AS l
        JOIN pg_database AS d ON d.oid = l.database
        WHERE l.relation = c.oid
          AND d.datname = current_database()
          AND l.pid IS DISTINCT FROM pg_backend_pid()
          AND l.mode IN (
              'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'
          )
    ) AS is_held
) AS access
WHERE c.relpersistence = 'p'
  AND NOT s.seqcycle
  AND (has_sequence_privilege(s.seqrelid, 'SELECT') OR has_sequence_privilege(s.seqrelid, 'USAGE'))
ORDER BY 1;

-- name: roles
-- Every role but the one that initdb made, with what it may and whom it belongs to. Catalog reads
-- only; passwords are nobody's to read.
SELECT
    r.rolname,
    jsonb_build_array(
        r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication,
        r.rolbypassrls, r.rolconnlimit, r.rolvaliduntil, r.rolconfig,
        (
            SELECT jsonb_agg(jsonb_build_array(g.rolname, m.admin_option) ORDER BY g.rolname)
            FROM pg_auth_members AS m
            JOIN pg_roles AS g ON g.oid = m.roleid
            WHERE m.member = r.oid
        )
    )::text
FROM pg_roles AS r
WHERE r.oid <> 10 AND r.rolname !~ '^pg_'
ORDER BY r.rolname;

-- name: other_databases
-- The cluster's other databases that take connections; one whose DROP DATABASE was interrupted takes none.
-- rdsadmin is Amazon's own.
SELECT d.datname
FROM pg_database AS d
WHERE d.datallowconn AND NOT d.datistemplate
  AND d.datconnlimit <> -2
  AND d.datname NOT IN (current_database(), 'rdsadmin')
ORDER BY d.datname;

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
-- What a copy of this database needs to be read. Asked about a database that is gone,
-- pg_database_size fails, and the question about its privileges says NULL.
SELECT
    current_database() AS database,
    current_setting('server_version_num')::integer AS server_version,
    (
        SELECT sum(pg_database_size(d.oid))::bigint
        FROM pg_database AS d
        WHERE has_database_privilege(d.oid, 'CONNECT') IS NOT NULL
    ) AS cluster_bytes,
    current_setting('shared_preload_libraries') AS preloaded,
    current_setting('data_checksums') = 'on' AS has_checksums,
    (SELECT jsonb_object_agg(extname, extversion) FROM pg_extension) AS extensions;
