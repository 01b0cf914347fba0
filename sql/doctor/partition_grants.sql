-- Partitions that a role other than their owner may read or write directly, which passes the
-- parent's policies by. Reads the catalog only.
SELECT c.oid::regclass::text AS name, a.grantee::regrole::text AS role
FROM pg_class AS c
CROSS JOIN LATERAL aclexplode(c.relacl) AS a
WHERE c.relispartition
  AND c.relkind = 'r'
  AND c.relnamespace = to_regnamespace('public')
  AND a.grantee <> c.relowner
ORDER BY 1, 2;
