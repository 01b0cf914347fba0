-- Indexes that no query has used since a moment, by every look that was taken at their scans; of a
-- partitioned index, in any partition. Reads catalogs, and the sizes of files.
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
        sum(pg_relation_size(tree.member)) AS bytes,
        max(known.unused_since) AS unused_since
    FROM tree
    JOIN pg_class AS c ON c.oid = tree.member
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN ops.index_usage AS known
        ON known.schema_name = n.nspname AND known.index_name = c.relname
    GROUP BY tree.root
)
SELECT
    n.nspname AS schema,
    t.relname AS table_name,
    c.relname AS name,
    usage.bytes::bigint AS bytes,
    format('not used since %%s', to_char(usage.unused_since, 'YYYY-MM-DD')) AS finding
FROM usage
JOIN pg_index AS i ON i.indexrelid = usage.root
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
WHERE usage.unused_since <= %(before)s
  AND i.indisvalid
  AND NOT i.indisunique
  AND NOT i.indisexclusion
  AND n.nspname <> 'information_schema'
  AND n.nspname NOT LIKE 'pg\_%%'
  AND NOT EXISTS (
      SELECT FROM pg_depend AS d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indrelid AND d.deptype = 'e'
  )
ORDER BY usage.bytes DESC, c.relname;
