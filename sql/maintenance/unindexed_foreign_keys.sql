-- Foreign keys whose columns no index begins with: a delete or an update of the key on the other
-- side reads the whole table. Partitions follow their parent and are left out, and so are the
-- tables of extensions.
SELECT
    n.nspname AS schema,
    t.relname AS table_name,
    k.conname AS name,
    0::bigint AS bytes,
    format(
        'no index on %%s begins with (%%s)',
        t.relname,
        (
            SELECT string_agg(a.attname, ', ' ORDER BY position)
            FROM unnest(k.conkey) WITH ORDINALITY AS columns (number, position)
            JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = columns.number
        )
    ) AS finding
FROM pg_constraint AS k
JOIN pg_class AS t ON t.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
WHERE k.contype = 'f'
  AND k.conparentid = 0
  AND n.nspname NOT LIKE 'pg\_%%'
  AND NOT EXISTS (
      SELECT FROM pg_depend AS d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = k.conrelid AND d.deptype = 'e'
  )
  AND NOT EXISTS (
      SELECT
      FROM pg_index AS i
      WHERE i.indrelid = k.conrelid
        AND i.indisvalid
        AND i.indpred IS NULL
        AND cardinality(k.conkey) <= i.indnkeyatts
        -- indkey counts from 0; the order of the columns among themselves doesn't matter.
        AND (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] @> k.conkey
  )
ORDER BY n.nspname, t.relname, k.conname;
