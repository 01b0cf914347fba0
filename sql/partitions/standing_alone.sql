-- What bears a month's name of this parent and is not attached to it. Catalog reads only.
SELECT
    c.relname AS name,
    CASE c.relkind
        WHEN 'r' THEN CASE c.relpersistence WHEN 'p' THEN 'table' ELSE 'unlogged table' END
        WHEN 'p' THEN 'partitioned table'
        WHEN 'v' THEN 'view'
        WHEN 'm' THEN 'materialized view'
        WHEN 'f' THEN 'foreign table'
        ELSE 'relation'
    END AS kind,
    (
        SELECT link.inhparent::regclass::text
        FROM pg_inherits AS link
        WHERE link.inhrelid = c.oid
    ) AS attached_to
FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace
  AND c.relname ~ ('^' || %(parent)s || '_\d{4}_(0[1-9]|1[0-2])$')
  AND NOT EXISTS (
      SELECT
      FROM pg_inherits AS link
      WHERE link.inhrelid = c.oid
        AND link.inhparent = %(parent)s::regclass
  )
ORDER BY c.relname;
