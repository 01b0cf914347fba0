-- name: function_schema
-- Where amcheck's function is, if the extension is installed and this role may call it. A temporary
-- copy of a managed server is looked at by the operations' role, which is no superuser there.
SELECT n.nspname
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.proname = 'bt_index_check'
  AND p.pronargs = 2
  AND has_function_privilege(p.oid, 'EXECUTE')
  AND has_schema_privilege(n.oid, 'USAGE');

-- name: check_index
-- amcheck: the index's own order, and that it has an entry for every row. ACCESS SHARE.
SELECT {function}(%(index_id)s::oid::regclass, true);

-- name: btree_indexes
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

-- name: read_heap
-- What every index of a table should hold, from one scan of the table.
SELECT {columns}
FROM ONLY {table};

-- name: read_index
-- What one index holds, read in its own order: the planner is left no other way to the rows.
SELECT
    count(*),
    coalesce(sum(entry.hash), 0)
FROM (
    SELECT hashtextextended({expressions}, 0) AS hash
    FROM ONLY {table}
    WHERE {predicate}
    ORDER BY {ordering}
) AS entry;

-- name: hide_other_indexes
-- For one transaction in a copy that nobody else uses, to be rolled back: leaves the planner a
-- single index of a table.
UPDATE pg_index
SET indisvalid = (indexrelid = %(index_id)s)
WHERE indrelid = %(table_id)s;
