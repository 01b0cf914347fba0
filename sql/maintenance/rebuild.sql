-- name: index_now
-- One index as it is now, its definition without its name. Reads catalogs; of one that is locked, its
-- size as it was last counted, and no definition.
SELECT
    i.indexrelid::bigint AS oid,
    i.indrelid::bigint AS table_oid,
    c.relfilenode::bigint AS file_node,
    CASE
        WHEN held.is_locked THEN c.relpages::bigint * 8192
        ELSE coalesce(pg_relation_size(i.indexrelid), 0)
    END AS bytes,
    c.reltuples::float8 AS tuples,
    i.indisvalid AND i.indisready AND i.indislive AS is_valid,
    CASE
        WHEN held.is_locked THEN ''
        ELSE i.indisunique::text || split_part(
            pg_get_indexdef(i.indexrelid), quote_ident(c.relname) || ' ON ', 2
        )
    END AS definition
FROM pg_index AS i
CROSS JOIN LATERAL (
    SELECT i.indexrelid = ANY (%(locked)s::oid[]) OR i.indrelid = ANY (%(locked)s::oid[])
) AS held (is_locked)
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s
  AND c.relname = %(name)s;

-- name: invalid_indexes
-- Indexes that are built or dropped at this moment, or were left so by somebody who died; and those
-- of partitioned tables that some partition has no part of. The definition comes without the index's name. Reads catalogs; of one that is locked, its size as it was
-- last counted, and no definition.
SELECT
    i.indexrelid::bigint AS oid,
    n.nspname AS schema,
    t.relname AS table_name,
    i.indrelid::bigint AS table_oid,
    c.relname AS name,
    c.relkind = 'I' AS is_partitioned,
    CASE
        WHEN held.is_locked THEN ''
        ELSE i.indisunique::text || split_part(
            pg_get_indexdef(i.indexrelid), quote_ident(c.relname) || ' ON ', 2
        )
    END AS definition,
    CASE
        WHEN held.is_locked THEN c.relpages::bigint * 8192
        ELSE coalesce(pg_relation_size(i.indexrelid), 0)
    END AS bytes,
    EXISTS (
        SELECT FROM pg_stat_progress_create_index AS p
        WHERE p.datname = current_database() AND p.relid = i.indrelid
    ) AS is_busy
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT i.indexrelid = ANY (%(locked)s::oid[]) OR i.indrelid = ANY (%(locked)s::oid[])
) AS held (is_locked)
WHERE NOT (i.indisvalid AND i.indisready AND i.indislive)
ORDER BY n.nspname, t.relname, c.relname;

-- name: rebuild_progress
-- Where the rebuild of a session is, and whether it waits for somebody: for its lock on the table
-- before it begins, and for transactions between its phases. A role sees its own sessions without
-- any grant.
SELECT
    coalesce(p.phase, '') AS phase,
    coalesce(p.blocks_done, 0) AS blocks_done,
    coalesce(p.blocks_total, 0) AS blocks_total,
    coalesce(p.tuples_done, 0) AS tuples_done,
    coalesce(p.tuples_total, 0) AS tuples_total,
    coalesce(p.lockers_done, 0) AS lockers_done,
    coalesce(p.lockers_total, 0) AS lockers_total,
    coalesce(a.wait_event_type = 'Lock', false) AS is_waiting
FROM pg_stat_activity AS a
LEFT JOIN pg_stat_progress_create_index AS p ON p.pid = a.pid
WHERE a.pid = %(pid)s
  AND a.state = 'active';

-- name: reindex
-- SHARE UPDATE EXCLUSIVE on the table: reads and writes go on. Waits three times for transactions
-- that use the table, and once for every snapshot of the database that is older. Outside a
-- transaction only; interrupted, it leaves an invalid index with _ccnew or _ccold in its name.
REINDEX INDEX CONCURRENTLY {index};

-- name: check_btree
-- amcheck of a btree's structure: ACCESS SHARE, reads the whole index.
SELECT {function}(%(index)s::regclass);
