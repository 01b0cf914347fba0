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
