-- name: database_bytes
-- The size of this database on disk, all schemas and the catalog included.
SELECT pg_database_size(current_database());

-- name: table_sizes
-- Bytes on disk of every table of the schemas public and ops, partitions counted with their
-- parents; TOAST belongs to the table. Rows are the planner's estimate. Reads the catalog and
-- file sizes: a few milliseconds a thousand partitions. AccessShare for a moment on each but for
-- those that are locked: their sizes are those that the last vacuum counted.
WITH RECURSIVE tree AS (
    SELECT c.oid AS root, c.oid AS member
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('public', 'ops')
      AND c.relkind IN ('r', 'p')
      AND NOT c.relispartition
    UNION ALL
    SELECT tree.root, link.inhrelid
    FROM tree
    JOIN pg_inherits AS link ON link.inhparent = tree.member
), leaves AS (
    SELECT
        tree.root,
        c.oid,
        c.relpages,
        c.reltuples,
        c.reltoastrelid,
        cardinality(%(locked)s::oid[]) > 0 AND (
            c.oid = ANY (%(locked)s::oid[])
            OR c.reltoastrelid = ANY (%(locked)s::oid[])
            OR EXISTS (
                SELECT FROM pg_index AS i
                WHERE i.indrelid IN (c.oid, c.reltoastrelid)
                  AND i.indexrelid = ANY (%(locked)s::oid[])
            )
        ) AS is_locked
    FROM tree
    JOIN pg_class AS c ON c.oid = tree.member AND c.relkind = 'r'
), sizes AS (
    SELECT
        leaves.root,
        leaves.reltuples,
        leaves.is_locked,
        CASE
            WHEN leaves.is_locked THEN 8192 * (leaves.relpages::bigint + coalesce((
                SELECT sum(part.relpages)
                FROM pg_class AS part
                WHERE part.oid = leaves.reltoastrelid
                   OR part.oid IN (
                       SELECT indexrelid FROM pg_index WHERE indrelid = leaves.reltoastrelid
                   )
            ), 0))
            ELSE pg_table_size(leaves.oid)
        END AS table_bytes,
        CASE
            WHEN leaves.is_locked THEN 8192 * (
                SELECT coalesce(sum(part.relpages), 0)
                FROM pg_index AS i
                JOIN pg_class AS part ON part.oid = i.indexrelid
                WHERE i.indrelid = leaves.oid
            )
            ELSE pg_indexes_size(leaves.oid)
        END AS index_bytes
    FROM leaves
)

SELECT
    format('%%I.%%I', n.nspname, root.relname) AS name,
    coalesce(sum(sizes.table_bytes), 0)::bigint AS table_bytes,
    coalesce(sum(sizes.index_bytes), 0)::bigint AS index_bytes,
    sum(greatest(sizes.reltuples, 0))::bigint AS estimated_rows
FROM sizes
JOIN pg_class AS root ON root.oid = sizes.root
JOIN pg_namespace AS n ON n.oid = root.relnamespace
GROUP BY n.nspname, root.relname
ORDER BY table_bytes DESC, name;

-- name: count_segments
-- How many segments of one month are in the database, counted in an index on created_at. ACCESS SHARE
-- on the table and on that month's partition.
SELECT count(*)
FROM content_segments AS cs
WHERE cs.created_at >= %(begin)s
  AND cs.created_at < %(end)s;

-- name: families_by_month
-- Families by the month in which they came, since one. ACCESS SHARE.
SELECT date_trunc('month', f.created_at, 'UTC') AS month, count(*) AS families
FROM families AS f
WHERE f.created_at >= %(begin)s
GROUP BY 1;

-- name: users_by_month
-- Users by the month in which they came, since one. ACCESS SHARE.
SELECT date_trunc('month', u.created_at, 'UTC') AS month, count(*) AS users
FROM users AS u
WHERE u.created_at >= %(begin)s
GROUP BY 1;
