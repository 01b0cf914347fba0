-- name: database_bytes
-- The size of this database on disk, all schemas and the catalog included.
SELECT pg_database_size(current_database());

-- name: table_sizes
-- Bytes on disk of every table of the schemas public and ops, partitions counted with their
-- parents; TOAST belongs to the table. Rows are the planner's estimate. Reads the catalog and
-- file sizes: a few milliseconds a thousand partitions. AccessShare for a moment on each.
SELECT
    format('%I.%I', n.nspname, root.relname) AS name,
    sum(pg_table_size(leaf.relid))::bigint AS table_bytes,
    sum(pg_indexes_size(leaf.relid))::bigint AS index_bytes,
    sum(greatest(c.reltuples, 0))::bigint AS estimated_rows
FROM pg_class AS root
JOIN pg_namespace AS n ON n.oid = root.relnamespace
CROSS JOIN LATERAL (
    SELECT tree.relid FROM pg_partition_tree(root.oid) AS tree WHERE tree.isleaf
    UNION
    -- A table that has no partitions is not in its own tree.
    SELECT root.oid::regclass WHERE root.relkind = 'r'
) AS leaf (relid)
JOIN pg_class AS c ON c.oid = leaf.relid
WHERE n.nspname IN ('public', 'ops')
  AND root.relkind IN ('r', 'p')
  AND NOT root.relispartition
GROUP BY n.nspname, root.relname
ORDER BY table_bytes DESC, name;

-- name: monthly_growth
-- What came into being in each month since one, oldest first: segments still in the database,
-- families, users. Segments are counted in their month's index on created_at, of the months asked
-- for only. ACCESS SHARE only.
SELECT
    m.month::date AS month,
    (
        SELECT count(*)
        FROM content_segments AS cs
        WHERE cs.created_at >= m.month AND cs.created_at < m.month + interval '1 month'
    ) AS segments,
    (
        SELECT count(*)
        FROM families AS f
        WHERE f.created_at >= m.month AND f.created_at < m.month + interval '1 month'
    ) AS families,
    (
        SELECT count(*)
        FROM users AS u
        WHERE u.created_at >= m.month AND u.created_at < m.month + interval '1 month'
    ) AS users
FROM generate_series(%(first)s::timestamptz, %(last)s::timestamptz, interval '1 month') AS m (month)
ORDER BY m.month;
