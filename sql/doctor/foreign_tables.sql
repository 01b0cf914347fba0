-- Tables of ours that belong to somebody else: DETACH, REINDEX and VACUUM need the owner. Reads
-- the catalog only; extensions' own tables are left out.
SELECT c.oid::regclass::text AS name
FROM pg_class AS c
WHERE c.relnamespace IN (to_regnamespace('public'), to_regnamespace('ops'))
  AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
  AND NOT pg_has_role(c.relowner, 'USAGE')
  AND NOT EXISTS (
      SELECT
      FROM pg_depend AS d
      WHERE d.classid = 'pg_class'::regclass
        AND d.objid = c.oid
        AND d.deptype = 'e'
  )
ORDER BY 1;
