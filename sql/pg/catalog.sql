-- name: locked_relations
-- Tables and indexes of this database that a session or a prepared transaction holds, or is about to
-- get, for itself alone: whoever opens one of them waits. Reads shared memory, and the catalog for
-- names: one that is not committed yet has none here, and keeps nobody waiting.
SELECT
    l.relation::bigint AS oid,
    format('%I.%I', n.nspname, c.relname) AS name,
    l.pid,
    coalesce(a.usename, prepared.owner, a.backend_type, '?')::text AS role,
    coalesce(a.application_name, prepared.gid, '') AS application,
    coalesce(a.xact_start, a.backend_start, prepared.prepared, clock_timestamp()) AS since,
    coalesce(a.state, '') AS state,
    coalesce(a.backend_type = 'autovacuum worker', false) AS is_autovacuum
FROM pg_locks AS l
JOIN pg_class AS c ON c.oid = l.relation
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
-- The locks of a prepared transaction have one number in common.
LEFT JOIN pg_locks AS own
    ON l.pid IS NULL AND own.pid IS NULL AND own.locktype = 'transactionid'
    AND own.virtualtransaction = l.virtualtransaction
LEFT JOIN pg_prepared_xacts AS prepared ON prepared.transaction = own.transactionid
WHERE l.locktype = 'relation'
  AND l.mode = 'AccessExclusiveLock'
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.pid IS DISTINCT FROM pg_backend_pid()
ORDER BY l.granted, since DESC;

-- name: relation_sizes
-- Bytes of tables with their TOAST, and of their indexes. ACCESS SHARE on each, and a look at its
-- files: some tenth of a millisecond for each. What is in the list of locked ones is not opened:
-- for it stand the pages of its last VACUUM or ANALYZE.
WITH asked AS (
    SELECT c.oid, c.relpages, c.reltoastrelid
    FROM pg_class AS c
    WHERE c.oid = ANY(%(tables)s::oid[])
),

indexes AS (
    SELECT a.oid AS table_oid, i.indrelid, i.indexrelid, c.relpages
    FROM asked AS a
    JOIN pg_index AS i ON i.indrelid IN (a.oid, a.reltoastrelid)
    JOIN pg_class AS c ON c.oid = i.indexrelid
)

SELECT
    a.oid::bigint AS oid,
    coalesce(
        CASE
            WHEN is_open.whole_table THEN pg_table_size(a.oid)
            ELSE pages.of_table * current_setting('block_size')::bigint
        END,
        0
    )::bigint AS table_bytes,
    coalesce(
        CASE
            WHEN is_open.whole_table AND is_open.all_indexes THEN pg_indexes_size(a.oid)
            ELSE pages.of_indexes * current_setting('block_size')::bigint
        END,
        0
    )::bigint AS index_bytes
FROM asked AS a
CROSS JOIN LATERAL (
    SELECT
        a.oid <> ALL(%(locked)s::oid[])
        AND a.reltoastrelid <> ALL(%(locked)s::oid[])
        AND NOT EXISTS (
            SELECT
            FROM indexes AS i
            WHERE i.table_oid = a.oid
              AND i.indrelid = a.reltoastrelid
              AND i.indexrelid = ANY(%(locked)s::oid[])
        ) AS whole_table,
        NOT EXISTS (
            SELECT
            FROM indexes AS i
            WHERE i.table_oid = a.oid
              AND i.indrelid = a.oid
              AND i.indexrelid = ANY(%(locked)s::oid[])
        ) AS all_indexes
) AS is_open
CROSS JOIN LATERAL (
    SELECT
        a.relpages::bigint
        + coalesce((SELECT t.relpages FROM pg_class AS t WHERE t.oid = a.reltoastrelid), 0)
        + coalesce(sum(i.relpages) FILTER (WHERE i.indrelid <> a.oid), 0) AS of_table,
        sum(i.relpages) FILTER (WHERE i.indrelid = a.oid) AS of_indexes
    FROM indexes AS i
    WHERE i.table_oid = a.oid
) AS pages;
