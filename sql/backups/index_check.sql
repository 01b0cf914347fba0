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
-- its key columns and the operators of their order. Catalog reads only.
SELECT
    i.indexrelid::bigint AS index_id,
    i.indrelid::bigint AS table_id,
    i.indexrelid::regclass::text AS name,
    tn.nspname AS table_schema,
    t.relname AS table_name,
    (
        SELECT jsonb_agg(
            jsonb_build_object(
                'expression', pg_get_indexdef(i.indexrelid, k.number, true) || coalesce(
                    ' COLLATE ' || quote_ident(cn.nspname) || '.' || quote_ident(c.collname), ''
                ),
                'less', o.names ->> '1',
                'equal', o.names ->> '3',
                'greater', o.names ->> '5',
                -- Bit 0 is DESC, bit 1 NULLS FIRST (pg_index.indoption).
                'is_descending', i.indoption[k.number - 1] & 1 = 1,
                'has_nulls_first', i.indoption[k.number - 1] & 2 = 2,
                'is_text', c.oid IS NOT NULL
            )
            ORDER BY k.number
        )
        FROM generate_series(1, i.indnkeyatts) AS k (number)
        JOIN pg_opclass AS oc ON oc.oid = i.indclass[k.number - 1]
        LEFT JOIN pg_collation AS c ON c.oid = i.indcollation[k.number - 1]
        LEFT JOIN pg_namespace AS cn ON cn.oid = c.collnamespace
        CROSS JOIN LATERAL (
            SELECT jsonb_object_agg(
                a.amopstrategy, 'OPERATOR(' || quote_ident(n.nspname) || '.' || p.oprname || ')'
            ) AS names
            FROM pg_amop AS a
            JOIN pg_operator AS p ON p.oid = a.amopopr
            JOIN pg_namespace AS n ON n.oid = p.oprnamespace
            WHERE a.amopfamily = oc.opcfamily
              AND a.amoplefttype = oc.opcintype
              AND a.amoprighttype = oc.opcintype
              AND a.amoppurpose = 's'
        ) AS o
    ) AS keys,
    pg_get_expr(i.indpred, i.indrelid, true) AS predicate,
    -- Sorted by a library of the machine, and not by bytes: 950 and 951 are "C" and "POSIX".
    EXISTS (
        SELECT FROM unnest(i.indcollation::oid[]) AS used (collation_id)
        WHERE used.collation_id NOT IN (0, 950, 951)
    ) AS is_collated,
    -- Types whose equal values are of the same bytes: their own hashes tell as much as their text.
    NOT EXISTS (
        SELECT
        FROM generate_series(1, i.indnkeyatts) AS k (number)
        JOIN pg_opclass AS oc ON oc.oid = i.indclass[k.number - 1]
        WHERE oc.opcintype NOT IN (
            'bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'date'::regtype,
            'timestamp'::regtype, 'timestamptz'::regtype, 'uuid'::regtype, 'text'::regtype
        )
    ) AS is_hashed_by_types
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

-- name: other_indexes
-- Indexes that are no B-trees, or are not valid, by their kind. Catalog reads only.
SELECT
    am.amname || CASE WHEN i.indisvalid THEN '' ELSE ', not valid' END AS kind,
    array_agg(i.indexrelid::regclass::text ORDER BY i.indexrelid::regclass::text)::text[] AS names
FROM pg_index AS i
JOIN pg_class AS x ON x.oid = i.indexrelid AND x.relkind = 'i'
JOIN pg_am AS am ON am.oid = x.relam
JOIN pg_namespace AS n ON n.oid = x.relnamespace
WHERE NOT (am.amname = 'btree' AND i.indisvalid)
  AND n.nspname <> 'information_schema'
  AND n.nspname !~ '^pg_'
GROUP BY 1
ORDER BY 1;

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
    SELECT {hash} AS hash
    FROM ONLY {table}
    WHERE {predicate}
    ORDER BY {ordering}
) AS entry;

-- name: follow_index
-- Which rows one index leads to, in its own order, and how many come before their predecessor by
-- the index's own operators. lag() over no order takes the rows as they come; ctid is in no index.
SELECT
    count(*),
    coalesce(sum(hashtid(e.place)), 0),
    count(*) FILTER (WHERE e.number > 1 AND {is_out_of_order})
FROM (
    SELECT entry.*, row_number() OVER () AS number, {predecessors}
    FROM (
        SELECT ctid AS place, {keys}
        FROM ONLY {table}
        WHERE {predicate}
        ORDER BY {ordering}
    ) AS entry
) AS e;

-- name: hide_other_indexes
-- For one transaction in a copy that nobody else uses, to be rolled back: leaves the planner a
-- single index of a table.
UPDATE pg_index
SET indisvalid = (indexrelid = %(index_id)s)
WHERE indrelid = %(table_id)s;
