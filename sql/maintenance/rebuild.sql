-- name: index_now
-- One index as it is now, its definition without its name. Reads catalogs.
SELECT
    i.indexrelid::bigint AS oid,
    c.relfilenode::bigint AS file_node,
    pg_relation_size(i.indexrelid) AS bytes,
    c.reltuples::float8 AS tuples,
    i.indisvalid AND i.indisready AND i.indislive AS is_valid,
    i.indisunique::text || split_part(
        pg_get_indexdef(i.indexrelid), quote_ident(c.relname) || ' ON ', 2
    ) AS definition
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s
  AND c.relname = %(name)s;

-- name: invalid_indexes
-- Indexes that are built or dropped at this moment, or were left so by somebody who died. The
-- definition comes without the index's name. Reads catalogs.
SELECT
    i.indexrelid::bigint AS oid,
    n.nspname AS schema,
    t.relname AS table_name,
    i.indrelid::bigint AS table_oid,
    c.relname AS name,
    i.indisunique::text || split_part(
        pg_get_indexdef(i.indexrelid), quote_ident(c.relname) || ' ON ', 2
    ) AS definition,
    pg_relation_size(i.indexrelid) AS bytes,
    EXISTS (
        SELECT FROM pg_stat_progress_create_index AS p
        WHERE p.datname = current_database() AND p.relid = i.indrelid
    ) AS is_busy
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT (i.indisvalid AND i.indisready AND i.indislive)
  AND c.relkind = 'i'
ORDER BY n.nspname, t.relname, c.relname;

-- name: canary
-- What the application does all day: one thread's segments, found by index in every partition.
-- A few pages each.
SELECT count(*)
FROM content_segments AS cs
WHERE cs.thread_id = (
    SELECT t.id
    FROM threads AS t
    WHERE t.id >= %(somewhere)s
    ORDER BY t.id
    LIMIT 1
)
  AND NOT cs.is_deleted;

-- name: rebuild_progress
-- Where a rebuild is. A role sees its own sessions without any grant.
SELECT phase, blocks_done, blocks_total, tuples_done, tuples_total, lockers_done, lockers_total
FROM pg_stat_progress_create_index
WHERE pid = %(pid)s;

-- name: reindex
-- SHARE UPDATE EXCLUSIVE on the table: reads and writes go on. Waits three times for transactions
-- that use the table, and once for every snapshot of the database that is older. Outside a
-- transaction only; interrupted, it leaves an invalid index with _ccnew or _ccold in its name.
REINDEX INDEX CONCURRENTLY {index};

-- name: check_btree
-- amcheck of a btree's structure: ACCESS SHARE, reads the whole index.
SELECT {function}(%(index)s::regclass);
