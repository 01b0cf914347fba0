-- Indexes that no query has used, on a partitioned table counted over all partitions. Statistics
-- must be 30 days old, and so must our knowledge of the index: PostgreSQL doesn't tell its age.
WITH RECURSIVE tree AS (
    SELECT i.indexrelid AS root, i.indexrelid AS member
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE NOT c.relispartition
    UNION ALL
    SELECT tree.root, link.inhrelid
    FROM tree
    JOIN pg_inherits AS link ON link.inhparent = tree.member
), usage AS (
    SELECT
        tree.root,
        sum(pg_stat_get_numscans(tree.member)) AS scans,
        sum(pg_relation_size(tree.member)) AS bytes,
        min(e.first_seen_at) AS first_seen_at
    FROM tree
    JOIN pg_class AS c ON c.oid = tree.member
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN ops.index_estimates AS e
        ON e.schema_name = n.nspname AND e.index_name = c.relname
    GROUP BY tree.root
)
SELECT
    n.nspname AS schema,
    t.relname AS table_name,
    c.relname AS name,
    usage.bytes::bigint AS bytes,
    format('not used since %%s', to_char(greatest(
        usage.first_seen_at, coalesce(d.stats_reset, '-infinity')
    ), 'YYYY-MM-DD')) AS finding
FROM usage
JOIN pg_index AS i ON i.indexrelid = usage.root
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_stat_database AS d ON d.datname = current_database()
WHERE usage.scans = 0
  AND usage.first_seen_at <= %(before)s
  AND coalesce(d.stats_reset, '-infinity') <= %(before)s
  AND i.indisvalid
  AND NOT i.indisunique
  AND NOT i.indisexclusion
  AND n.nspname <> 'information_schema'
  AND n.nspname NOT LIKE 'pg\_%%'
ORDER BY usage.bytes DESC, c.relname;
