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
-- One table by its oid as it is now: the file of its rows, how many rows were ever written, and
-- whether pg_repack can tell its rows apart. Reads catalogs and counters; of one that is locked, too.
SELECT
    c.relfilenode::bigint AS file_node,
    coalesce(s.n_tup_ins + s.n_tup_upd + s.n_tup_del, 0) AS rows_written,
    pg_has_role(c.relowner, 'USAGE') AS may_maintain,
    pg_get_userbyid(c.relowner) AS owner,
    c.relkind = 'r' AND c.relpersistence = 'p' AS is_plain,
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
FROM {table} AS whole;

-- name: repack_sessions
-- Asks the session that writes a table anew to stop: pg_repack holds an advisory lock for it. The
-- program drops what it made then. Waits for nothing.
SELECT pg_cancel_backend(l.pid)
FROM pg_locks AS l
WHERE l.locktype = 'advisory'
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.classid = 16185446
  AND l.objid::bigint = (%(table)s + 2147483648) %% 4294967296
  AND l.granted
  AND l.pid <> pg_backend_pid();

-- name: repack_leftovers
-- What runs of pg_repack that died have left, by the table that they were writing anew: its copy, the
-- log of its changes, and the trigger by which every write of the application pays for that log. Who
-- owns it began the run. Reads catalogs.
WITH left_behind AS (
    SELECT substring(c.relname FROM '^(?:log|table)_(\d+)$')::oid AS table_oid, c.relowner AS owner
    FROM pg_class AS c
    WHERE c.relnamespace = to_regnamespace('repack')
      AND c.relkind = 'r'
      AND c.relname ~ '^(?:log|table)_\d+$'
    UNION
    SELECT substring(t.typname FROM '^pk_(\d+)$')::oid, t.typowner
    FROM pg_type AS t
    WHERE t.typnamespace = to_regnamespace('repack') AND t.typname ~ '^pk_\d+$'
    UNION
    SELECT g.tgrelid, c.relowner
    FROM pg_trigger AS g
    JOIN pg_class AS c ON c.oid = g.tgrelid
    JOIN pg_proc AS p ON p.oid = g.tgfoid
    WHERE g.tgname = 'repack_trigger' AND p.pronamespace = to_regnamespace('repack')
)

SELECT
    l.table_oid::bigint AS table_oid,
    n.nspname AS schema,
    c.relname AS name,
    bool_and(pg_has_role(l.owner, 'USAGE')) AS is_ours,
    coalesce(
        min(pg_get_userbyid(l.owner)) FILTER (WHERE NOT pg_has_role(l.owner, 'USAGE')),
        current_user::name
    ) AS owner
FROM left_behind AS l
LEFT JOIN pg_class AS c ON c.oid = l.table_oid
LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace
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
DROP TABLE IF EXISTS {log}, {copy} CASCADE;

-- name: drop_repack_type
-- Drops the type of a log that is gone.
DROP TYPE IF EXISTS {type} CASCADE;
