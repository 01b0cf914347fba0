-- Every valid B-tree index of the tables that a fingerprint covers and that hold anything, with
-- the expressions of its key columns. Catalog reads only.
SELECT
    i.indexrelid::bigint AS index_id,
    i.indrelid::bigint AS table_id,
    i.indexrelid::regclass::text AS name,
    tn.nspname AS table_schema,
    t.relname AS table_name,
    (
        SELECT array_agg(pg_get_indexdef(i.indexrelid, k, true) ORDER BY k)
        FROM generate_series(1, i.indnkeyatts) AS k
    ) AS expressions,
    pg_get_expr(i.indpred, i.indrelid, true) AS predicate,
    -- The first column's order: bit 0 is DESC, bit 1 NULLS FIRST (pg_index.indoption).
    pg_get_indexdef(i.indexrelid, 1, true)
        || CASE WHEN i.indoption[0] & 1 = 1 THEN ' DESC' ELSE ' ASC' END
        || CASE WHEN i.indoption[0] & 2 = 2 THEN ' NULLS FIRST' ELSE ' NULLS LAST' END
        AS ordering
FROM pg_index AS i
JOIN pg_class AS x ON x.oid = i.indexrelid
JOIN pg_am AS am ON am.oid = x.relam AND am.amname = 'btree'
JOIN pg_class AS t ON t.oid = i.indrelid AND t.relkind IN ('r', 'm') AND t.relpersistence = 'p'
JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
WHERE i.indisvalid
  AND tn.nspname <> 'information_schema'
  AND tn.nspname !~ '^pg_'
  AND pg_relation_size(t.oid) > 0
ORDER BY table_schema, table_name, name;
