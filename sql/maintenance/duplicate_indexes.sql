-- Indexes that another one of the same table makes superfluous: it has the same columns in the
-- same way, or begins with them. Partitions follow their parent and are left out, and so are the
-- tables of extensions.
WITH candidates AS (
    SELECT
        i.*,
        c.relname AS name,
        c.relam,
        i.indkey::text || ' ' AS keys,
        i.indclass::text || ' ' AS classes,
        i.indcollation::text || ' ' AS collations,
        i.indoption::text || ' ' AS options,
        coalesce(pg_get_expr(i.indexprs, i.indrelid), '') AS expressions,
        coalesce(pg_get_expr(i.indpred, i.indrelid), '') AS predicate
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indisvalid
      AND NOT c.relispartition
)
SELECT
    n.nspname AS schema,
    t.relname AS table_name,
    a.name,
    pg_total_relation_size(a.indexrelid) + coalesce((
        SELECT sum(pg_relation_size(tree.relid))
        FROM pg_partition_tree(a.indexrelid) AS tree
    ), 0)::bigint AS bytes,
    CASE
        WHEN a.keys = b.keys THEN 'same as ' || b.name
        ELSE 'the beginning of ' || b.name
    END AS finding
FROM candidates AS a
JOIN candidates AS b ON b.indrelid = a.indrelid AND b.indexrelid <> a.indexrelid
    AND b.relam = a.relam
JOIN pg_class AS t ON t.oid = a.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_am AS am ON am.oid = a.relam
WHERE NOT a.indisexclusion
  AND a.predicate = b.predicate
  AND a.expressions = b.expressions
  AND a.indnkeyatts = a.indnatts
  AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = a.indexrelid)
  AND n.nspname <> 'information_schema'
  AND n.nspname NOT LIKE 'pg\_%%'
  AND NOT EXISTS (
      SELECT FROM pg_depend AS d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = a.indrelid AND d.deptype = 'e'
  )
  AND (
      -- The same: the one that enforces nothing goes, else the later one.
      a.keys = b.keys
      AND a.classes = b.classes
      AND a.collations = b.collations
      AND a.options = b.options
      AND (
          NOT a.indisunique AND (b.indisunique OR a.indexrelid > b.indexrelid)
          OR a.indisunique AND b.indisunique AND a.indexrelid > b.indexrelid
      )
      -- A beginning: of use only to a btree, and only without expressions to line up.
      OR am.amname = 'btree'
      AND NOT a.indisunique
      AND a.expressions = ''
      AND a.indnkeyatts < b.indnkeyatts
      AND starts_with(b.keys, a.keys)
      AND starts_with(b.classes, a.classes)
      AND starts_with(b.collations, a.collations)
      AND starts_with(b.options, a.options)
  )
ORDER BY bytes DESC, a.name, finding;
