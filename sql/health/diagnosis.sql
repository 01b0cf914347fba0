-- name: missing_indexes
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

-- name: poor_statistics
-- Tables and partitions of some size for which the planner has no statistics, or whose rows have
-- changed by more than a fifth since. Partitioned parents count as tables of their own:
-- autovacuum never analyses them. Those without any first, then the largest. Catalog and
-- statistics views only.
WITH relations AS (
    SELECT
        coalesce(tree.relid, root.oid) AS relid,
        n.nspname,
        c.relname,
        c.reltuples,
        size.bytes
    FROM unnest(%(tables)s::text[]) AS wanted (table_name)
    JOIN pg_class AS root ON root.oid = to_regclass(format('public.%%I', wanted.table_name))
    -- A table that has no partitions is not in its own tree.
    LEFT JOIN LATERAL pg_partition_tree(root.oid) AS tree ON true
    JOIN pg_class AS c ON c.oid = coalesce(tree.relid, root.oid)
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(pg_relation_size(leaf.relid)), pg_relation_size(c.oid)) AS bytes
        FROM pg_partition_tree(c.oid) AS leaf
        WHERE leaf.isleaf
    ) AS size
    WHERE size.bytes >= %(least_bytes)s
),

judged AS (
    SELECT
        r.*,
        activity.n_mod_since_analyze AS changed,
        EXISTS (
            SELECT
            FROM pg_stats AS known
            WHERE known.schemaname = r.nspname
              AND known.tablename = r.relname
        ) AS is_known
    FROM relations AS r
    LEFT JOIN pg_stat_user_tables AS activity ON activity.relid = r.relid
)

SELECT
    j.relid::regclass::text AS table_name,
    CASE WHEN j.is_known THEN j.changed END AS changed_rows
FROM judged AS j
WHERE NOT j.is_known
   OR j.changed > 0.2 * greatest(j.reltuples, 1000)
ORDER BY j.is_known, j.bytes DESC, j.relid::regclass::text;
