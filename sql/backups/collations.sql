-- Collations in use whose sort order was that of another version of the library: their indexes
-- may be out of order. Catalog reads only.
SELECT
    'database ' || datname AS name,
    datcollversion AS recorded,
    pg_database_collation_actual_version(oid) AS actual
FROM pg_database
WHERE datname = current_database()
  AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)
UNION ALL
SELECT
    'collation ' || oid::regcollation::text,
    collversion,
    pg_collation_actual_version(oid)
FROM pg_collation
WHERE collversion IS NOT NULL
  AND collversion IS DISTINCT FROM pg_collation_actual_version(oid)
  AND EXISTS (
      SELECT FROM pg_attribute AS a
      WHERE a.attcollation = pg_collation.oid AND a.attrelid >= 16384
  );
