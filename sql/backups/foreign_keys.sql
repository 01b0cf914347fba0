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
    )::text[] AS parent_columns
FROM pg_constraint AS con
JOIN pg_class AS child ON child.oid = con.conrelid
JOIN pg_namespace AS cn ON cn.oid = child.relnamespace
JOIN pg_class AS parent ON parent.oid = con.confrelid
JOIN pg_namespace AS pn ON pn.oid = parent.relnamespace
WHERE con.contype = 'f'
  AND con.conparentid = 0
  AND con.convalidated
ORDER BY child_schema, child, name;
