-- name: missing_indexes
-- Which of these columns are the leading column of no usable index, by table. "partitions" counts
-- the partitions without one, 0 for a plain table. Catalog only: no partition is opened.
WITH RECURSIVE tree AS (
    SELECT wanted.table_name, wanted.column_name, root.oid AS relid, 0 AS level
    FROM unnest(%(tables)s::text[], %(columns)s::text[]) AS wanted (table_name, column_name)
    JOIN pg_class AS root ON root.oid = to_regclass(format('public.%%I', wanted.table_name))
    UNION ALL
    SELECT tree.table_name, tree.column_name, link.inhrelid, tree.level + 1
    FROM tree
    JOIN pg_inherits AS link ON link.inhparent = tree.relid AND NOT link.inhdetachpending
)

SELECT
    tree.table_name,
    tree.column_name,
    count(*) FILTER (WHERE tree.level > 0) AS partitions
FROM tree
JOIN pg_attribute AS a
    ON a.attrelid = tree.relid
    AND a.attname = tree.column_name
    AND NOT a.attisdropped
WHERE NOT EXISTS (SELECT FROM pg_inherits AS below WHERE below.inhparent = tree.relid)
  AND NOT EXISTS (
      SELECT
      FROM pg_index AS i
      WHERE i.indrelid = a.attrelid
        AND i.indkey[0] = a.attnum
        AND i.indpred IS NULL
        AND i.indisvalid
        AND i.indisready
  )
GROUP BY tree.table_name, tree.column_name
ORDER BY tree.table_name, tree.column_name;

-- name: poor_statistics
-- Tables and partitions of some size for which the planner has no statistics, or whose rows have
-- changed by more than a fifth since. Partitioned parents count as tables of their own:
-- autovacuum never analyses them. Those without any first, then the largest. Catalog and
-- statistics views; AccessShare for a moment on each but for those that are locked: their sizes are
-- those that the last vacuum counted.
WITH RECURSIVE tree AS (
    SELECT root.oid AS relid, ARRAY[root.oid] AS line
    FROM unnest(%(tables)s::text[]) AS wanted (table_name)
    JOIN pg_class AS root ON root.oid = to_regclass(format('public.%%I', wanted.table_name))
    UNION ALL
    SELECT link.inhrelid, tree.line || link.inhrelid
    FROM tree
    JOIN pg_inherits AS link ON link.inhparent = tree.relid AND NOT link.inhdetachpending
),

sizes AS (
    -- What a table holds itself counts as its parents', too.
    SELECT above.relid, sum(own.bytes) AS bytes
    FROM tree
    JOIN pg_class AS c ON c.oid = tree.relid AND c.relkind <> 'p'
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN c.oid = ANY (%(locked)s::oid[])
                THEN c.relpages * current_setting('block_size')::bigint
            ELSE coalesce(pg_relation_size(c.oid), 0)
        END AS bytes
    ) AS own
    CROSS JOIN LATERAL unnest(tree.line) AS above (relid)
    GROUP BY above.relid
),

judged AS (
    SELECT
        s.relid,
        s.bytes,
        c.reltuples,
        activity.n_mod_since_analyze AS changed,
        EXISTS (
            SELECT
            FROM pg_stats AS known
            WHERE known.schemaname = n.nspname
              AND known.tablename = c.relname
        ) AS is_known
    FROM sizes AS s
    JOIN pg_class AS c ON c.oid = s.relid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_stat_user_tables AS activity ON activity.relid = s.relid
    WHERE s.bytes >= %(least_bytes)s
)

SELECT
    j.relid::regclass::text AS table_name,
    CASE WHEN j.is_known THEN j.changed END AS changed_rows
FROM judged AS j
WHERE NOT j.is_known
   OR j.changed > 0.2 * greatest(j.reltuples, 1000)
ORDER BY j.is_known, j.bytes DESC, j.relid::regclass::text;
