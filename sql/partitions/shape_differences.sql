-- What a table lacks of its future parent's columns and constraints, or has of its own, in words.
-- CHECK constraints must bear the parent's names: ATTACH matches them so. Catalog reads only.
WITH columns AS (
    SELECT
        a.attrelid,
        format('column %%I %%s', a.attname, format_type(a.atttypid, a.atttypmod))
            || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END AS part
    FROM pg_attribute AS a
    WHERE a.attrelid IN (%(table)s::regclass, %(parent)s::regclass)
      AND a.attnum > 0
      AND NOT a.attisdropped
),

constraints AS (
    SELECT
        con.conrelid,
        CASE con.contype WHEN 'c' THEN format('constraint %%I ', con.conname) ELSE '' END
            || pg_get_constraintdef(con.oid) AS part
    FROM pg_constraint AS con
    WHERE con.conrelid IN (%(table)s::regclass, %(parent)s::regclass)
      AND con.contype IN ('c', 'f', 'p')
),

parts AS (
    SELECT attrelid = %(parent)s::regclass AS is_parents, part FROM columns
    UNION ALL
    SELECT conrelid = %(parent)s::regclass, part FROM constraints
)

SELECT 'it has no ' || p.part
FROM parts AS p
WHERE p.is_parents
  AND NOT EXISTS (SELECT FROM parts AS o WHERE NOT o.is_parents AND o.part = p.part)
UNION ALL
SELECT 'it has a ' || p.part
FROM parts AS p
WHERE NOT p.is_parents
  AND p.part LIKE 'column %%'
  AND NOT EXISTS (SELECT FROM parts AS o WHERE o.is_parents AND o.part = p.part)
ORDER BY 1;
