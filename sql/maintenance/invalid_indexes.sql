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
