-- Which of these columns are the leading column of no usable index, by table. "partitions" counts
-- the partitions without one, 0 for a plain table. Catalog only.
SELECT
    wanted.table_name,
    wanted.column_name,
    count(tree.relid) AS partitions
FROM unnest(%(tables)s::text[], %(columns)s::text[]) AS wanted (table_name, column_name)
JOIN pg_class AS root ON root.oid = to_regclass(format('public.%%I', wanted.table_name))
-- A table that has no partitions is not in its own tree.
LEFT JOIN LATERAL pg_partition_tree(root.oid) AS tree ON tree.isleaf
JOIN pg_attribute AS a
    ON a.attrelid = coalesce(tree.relid, root.oid)
    AND a.attname = wanted.column_name
    AND NOT a.attisdropped
WHERE NOT EXISTS (
    SELECT
    FROM pg_index AS i
    WHERE i.indrelid = a.attrelid
      AND i.indkey[0] = a.attnum
      AND i.indpred IS NULL
      AND i.indisvalid
      AND i.indisready
)
GROUP BY wanted.table_name, wanted.column_name
ORDER BY wanted.table_name, wanted.column_name;
