-- name: repack_means
-- What this server has to write a table anew beside its readers and writers.
SELECT
    current_setting('server_version_num')::integer AS version,
    (SELECT extversion FROM pg_extension WHERE extname = 'pg_repack') AS pg_repack;

-- name: repack_rights
-- What the role lacks to use the extension, as the grants that give it. Reads catalogs.
SELECT needed.grant_text
FROM (VALUES
    (
        'GRANT USAGE, CREATE ON SCHEMA repack TO %I',
        has_schema_privilege('repack', 'USAGE') AND has_schema_privilege('repack', 'CREATE')
    ),
    (
        'GRANT SELECT ON repack.tables, repack.primary_keys TO %I',
        has_schema_privilege('repack', 'USAGE')
        AND has_table_privilege('repack.tables', 'SELECT')
        AND has_table_privilege('repack.primary_keys', 'SELECT')
    )
) AS needed (grant_text, is_there)
WHERE NOT needed.is_there;

-- name: table_now
-- One table by its oid as it is now: the file of its rows, how many rows were ever written, what form
-- they have, and whether pg_repack can tell them apart. Reads catalogs and counters; of one that is
-- locked, too.
SELECT
    c.relfilenode::bigint AS file_node,
    coalesce(s.n_tup_ins + s.n_tup_upd + s.n_tup_del, 0) AS rows_written,
    pg_has_role(c.relowner, 'USAGE') AS may_maintain,
    pg_get_userbyid(c.relowner) AS owner,
    c.relkind = 'r' AND c.relpersistence = 'p' AS is_plain,
    (
        SELECT string_agg(
            concat_ws(' ', a.attnum, a.atttypid, a.atttypmod, a.attisdropped), ',' ORDER BY a.attnum
        )
        FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0
    ) AS columns,
    (
        SELECT min(i.indexrelid::regclass::text)
        FROM pg_index AS i
        WHERE i.indrelid = c.oid AND NOT i.indisvalid
    ) AS invalid_index,
    EXISTS (
        SELECT FROM pg_index AS i
        WHERE i.indrelid = c.oid
          AND i.indisunique AND i.indisvalid AND i.indimmediate
          AND i.indpred IS NULL AND i.indexprs IS NULL
          AND NOT EXISTS (
              SELECT FROM pg_attribute AS a
              WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey) AND NOT a.attnotnull
          )
    ) AS has_key
FROM pg_class AS c
LEFT JOIN pg_stat_all_tables AS s ON s.relid = c.oid
WHERE c.oid = %(table)s;

-- name: rows_of_table
-- How many rows a table has, and the sum of their hashes, whatever their order. Reads the whole table
-- under ACCESS SHARE, and what is stored beside its rows: once before it is written anew, once after.
SELECT count(*) AS rows, coalesce(sum(hashtextextended((whole.*)::text, 0)::numeric), 0) AS hashes
FROM ONLY {table} AS whole;

-- name: table_is_empty
-- Whether a table has no row. Stops at the first, under ACCESS SHARE.
SELECT NOT EXISTS (SELECT FROM ONLY {table});

-- name: stop_repack_sessions
-- Asks the session that writes a table anew to stop, or ends it: pg_repack holds an advisory lock for it.
-- The program drops what it made then. Waits for nothing.
SELECT pg_catalog.{stop}(l.pid)
FROM pg_locks AS l
WHERE l.locktype = 'advisory'
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.classid = 16185446
  AND l.objid::bigint = (%(table)s + 2147483648) %% 4294967296
  AND l.granted
  AND l.pid <> pg_backend_pid();

-- name: repack_queue
-- Whoever waits for a table because it is written anew, in a mode behind which its readers or writers
-- wait, for {seconds} or longer. What pg_repack waits for itself is given up after a second. Reads shared
-- memory; locks nothing.
SELECT format(
    'session %%s of %%s (%%s) waits for the table, and others wait behind it',
    a.pid,
    coalesce(a.usename, a.backend_type),
    coalesce(nullif(a.application_name, ''), 'no name')
)
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation'
  AND l.relation = %(table)s
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND NOT l.granted
  AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  AND l.waitstart < clock_timestamp() - make_interval(secs => %(seconds)s)
  AND EXISTS (
      SELECT FROM pg_stat_activity AS run
      WHERE run.pid = ANY (pg_blocking_pids(l.pid)) AND run.application_name = %(application)s
  )
ORDER BY l.waitstart
LIMIT 1;

-- name: repack_leftovers
-- What runs of pg_repack that died have left, by the table that they were writing anew: its copy, the
-- log of its changes, and the trigger by which every write of the application pays for that log. Who
-- owns it began the run. A name is not enough: it is in the schema of the extension, and beside the type
-- that every run makes first. Reads catalogs.
WITH home AS (
    SELECT n.oid
    FROM pg_namespace AS n
    JOIN pg_depend AS d
        ON d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e'
    JOIN pg_extension AS e
        ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
    WHERE n.nspname = 'repack' AND e.extname = 'pg_repack'
),

named AS (
    SELECT
        c.relkind,
        c.relowner AS owner,
        substring(c.relname FROM '^(?:pk|log|table)_([1-9]\d{0,9})$')::bigint AS table_oid
    FROM pg_class AS c
    JOIN home ON home.oid = c.relnamespace
    WHERE c.relkind = 'c' AND c.relname ~ '^pk_'
       OR c.relkind = 'r' AND c.relname ~ '^(?:log|table)_'
),

triggers AS (
    SELECT g.tgrelid::bigint AS table_oid, c.relowner AS owner
    FROM pg_trigger AS g
    JOIN pg_class AS c ON c.oid = g.tgrelid
    JOIN pg_proc AS p ON p.oid = g.tgfoid
    JOIN home ON home.oid = p.pronamespace
    WHERE g.tgname = 'repack_trigger'
),

left_behind AS (
    SELECT named.table_oid, named.owner
    FROM named
    WHERE named.table_oid IN (
        SELECT type.table_oid FROM named AS type WHERE type.relkind = 'c'
        UNION ALL
        SELECT triggers.table_oid FROM triggers
    )
    UNION
    SELECT triggers.table_oid, triggers.owner FROM triggers
)

SELECT
    l.table_oid,
    n.nspname AS schema,
    c.relname AS name,
    bool_and(pg_has_role(l.owner, 'USAGE')) AS is_ours,
    coalesce(
        min(pg_get_userbyid(l.owner)) FILTER (WHERE NOT pg_has_role(l.owner, 'USAGE')),
        current_user::name
    ) AS owner
FROM left_behind AS l
LEFT JOIN pg_class AS c ON c.oid::bigint = l.table_oid
LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE l.table_oid <= 4294967295
GROUP BY l.table_oid, n.nspname, c.relname
ORDER BY l.table_oid;

-- name: try_repack_lock
-- The lock that pg_repack holds while it writes a table anew: whoever gets it is alone. Doesn't wait.
SELECT pg_try_advisory_lock(16185446, (%(table)s - 2147483648)::integer);

-- name: unlock_repack
-- Gives that lock back.
SELECT pg_advisory_unlock(16185446, (%(table)s - 2147483648)::integer);

-- name: drop_repack_leftovers
-- Drops the trigger, the log, its type and the copy. Takes ACCESS EXCLUSIVE on the table for a moment.
SELECT repack.repack_drop(%(table)s::oid, 4);

-- name: drop_repack_orphans
-- Drops the log, its type and the copy of a table that is gone itself.
DROP TABLE IF EXISTS {log}, {copy};

-- name: drop_repack_type
-- Drops the type of a log that is gone.
DROP TYPE IF EXISTS {type};
