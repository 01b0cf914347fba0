-- name: foreign_keys
-- Every validated foreign key that is declared itself, not inherited by a partition. Catalog
-- reads only.
SELECT
    con.conname AS name,
    cn.nspname AS child_schema,
    child.relname AS child,
    pn.nspname AS parent_schema,
    parent.relname AS parent,
    (
        SELECT array_agg(a.attname ORDER BY k.position)
        FROM unnest(con.conkey) WITH ORDINALITY AS k (number, position)
        JOIN pg_attribute AS a ON a.attrelid = con.conrelid AND a.attnum = k.number
    )::text[] AS child_columns,
    (
        SELECT array_agg(a.attname ORDER BY k.position)
        FROM unnest(con.confkey) WITH ORDINALITY AS k (number, position)
        JOIN pg_attribute AS a ON a.attrelid = con.confrelid AND a.attnum = k.number
    )::text[] AS parent_columns,
    -- Its own operators, whatever else is called = on the way.
    (
        SELECT array_agg('OPERATOR(' || quote_ident(n.nspname) || '.' || o.oprname || ')'
            ORDER BY k.position)
        FROM unnest(con.conpfeqop) WITH ORDINALITY AS k (operator, position)
        JOIN pg_operator AS o ON o.oid = k.operator
        JOIN pg_namespace AS n ON n.oid = o.oprnamespace
    )::text[] AS operators
FROM pg_constraint AS con
JOIN pg_class AS child ON child.oid = con.conrelid
JOIN pg_namespace AS cn ON cn.oid = child.relnamespace
JOIN pg_class AS parent ON parent.oid = con.confrelid
JOIN pg_namespace AS pn ON pn.oid = parent.relnamespace
WHERE con.contype = 'f'
  AND con.conparentid = 0
  AND con.convalidated
ORDER BY child_schema, child, name;

-- name: installed_extensions
-- What is installed here, and whether this server has the library and scripts of that version.
SELECT
    e.extname,
    e.extversion,
    v.version IS NOT NULL AS is_available
FROM pg_extension AS e
LEFT JOIN pg_available_extension_versions AS v
    ON v.name = e.extname AND v.version = e.extversion;

-- name: collations
-- Collations in use whose sort order was that of another version of the library: their indexes
-- may be out of order. Catalog reads only.
SELECT
    'database ' || datname AS name,
    datcollversion AS recorded,
    pg_database_collation_actual_version(oid) AS actual
FROM pg_database
WHERE datname = current_database()
  AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)
UNION ALL
SELECT
    'collation ' || oid::regcollation::text,
    collversion,
    pg_collation_actual_version(oid)
FROM pg_collation
WHERE collversion IS NOT NULL
  AND collversion IS DISTINCT FROM pg_collation_actual_version(oid)
  AND EXISTS (
      SELECT FROM pg_attribute AS a
      WHERE a.attcollation = pg_collation.oid AND a.attrelid >= 16384
  );

-- name: count_orphans
-- Rows of a child whose parent is missing. ACCESS SHARE; reads both tables once.
SELECT count(*)
FROM {child} AS c
WHERE {is_reference}
  AND NOT EXISTS (SELECT FROM {parent} AS p WHERE {matches});

-- name: tables_with_rows
-- Some tables, or the partitions in which they have their rows. Catalog reads only.
SELECT found.schema || '.' || found.name
FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS t (schema, name)
CROSS JOIN LATERAL (
    SELECT n.nspname AS schema, c.relname AS name
    FROM pg_partition_tree(format('%%I.%%I', t.schema, t.name)::regclass) AS tree
    JOIN pg_class AS c ON c.oid = tree.relid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE tree.isleaf
    UNION
    SELECT n.nspname, c.relname
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = format('%%I.%%I', t.schema, t.name)::regclass
      AND c.relkind = 'r'
) AS found;
