-- name: strangers_objects
-- What lies in a schema in which our sessions look names up, and belongs to a role that may not
-- become the owner of our objects: neither an administrator nor the operations. Such a function or
-- operator runs as whoever names it, wherever its arguments fit better than the server's own, in
-- whatever order the path has. To be asked with nothing but pg_catalog on the path. Reads the
-- catalog; an extension's objects are left out where the extension itself is no stranger's.
WITH strangers AS (
    SELECT r.oid, r.rolname
    FROM pg_database AS d
    JOIN pg_roles AS session ON session.rolname = current_user
    CROSS JOIN pg_roles AS r
    WHERE d.datname = current_database()
      AND NOT pg_has_role(
          CASE r.rolname WHEN 'pg_database_owner' THEN d.datdba ELSE r.oid END,
          CASE session.rolname WHEN 'ft_ops' THEN session.oid ELSE d.datdba END,
          'MEMBER'
      )
)

SELECT
    found.type || ' ' || found.identity AS name,
    s.rolname::text AS owner,
    held.classid IN ('pg_proc'::regclass, 'pg_operator'::regclass) AS can_run
FROM strangers AS s
JOIN pg_shdepend AS held
    ON held.refclassid = 'pg_authid'::regclass AND held.refobjid = s.oid AND held.deptype = 'o'
CROSS JOIN LATERAL pg_identify_object(held.classid, held.objid, held.objsubid) AS found
WHERE held.dbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND found.schema IN ('public', 'ops')
  AND NOT EXISTS (
      SELECT
      FROM pg_depend AS member
      JOIN pg_extension AS extension ON extension.oid = member.refobjid
      WHERE member.classid = held.classid
        AND member.objid = held.objid
        AND member.refclassid = 'pg_extension'::regclass
        AND member.deptype = 'e'
        AND extension.extowner NOT IN (SELECT oid FROM strangers)
  )
ORDER BY 3 DESC, 2, 1;

-- name: open_schemas
-- The schemas in which our sessions, or those of a person who logs in as one of our roles, look names
-- up, and in which a stranger (see strangers_objects) may put something; one row a schema and role.
-- To be asked with nothing but pg_catalog on the path. Reads the catalog.
WITH strangers AS (
    SELECT r.oid, r.rolname::text AS rolname
    FROM pg_database AS d
    JOIN pg_roles AS session ON session.rolname = current_user
    CROSS JOIN pg_roles AS r
    WHERE d.datname = current_database()
      AND NOT pg_has_role(
          CASE r.rolname WHEN 'pg_database_owner' THEN d.datdba ELSE r.oid END,
          CASE session.rolname WHEN 'ft_ops' THEN session.oid ELSE d.datdba END,
          'MEMBER'
      )
    UNION ALL
    SELECT 0, 'everybody'
)

SELECT n.nspname::text AS schema, s.rolname AS role, n.nspowner = s.oid AS is_owner
FROM pg_namespace AS n
JOIN strangers AS s ON n.nspowner = s.oid OR EXISTS (
    SELECT
    FROM aclexplode(n.nspacl) AS granted
    WHERE granted.grantee = s.oid
      AND granted.privilege_type = 'CREATE'
)
WHERE n.nspname IN ('public', 'ops', 'ft_ops', current_user)
ORDER BY 1, 2;
