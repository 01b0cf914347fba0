-- name: strangers_objects
-- What lies in a schema in which our sessions look names up, and belongs to a role that may not
-- become the owner of our objects: neither an administrator nor the operations. Such a function or
-- operator runs as whoever names it, wherever its arguments fit better than the server's own, in
-- whatever order the path has. So does what a view calls, as whoever reads it: one may have the name
-- of a table of ours as long as ours are not there. To be asked with nothing but pg_catalog on the
-- path. Reads what the catalog has of these schemas, however much others have elsewhere; an
-- extension's objects are left out where the extension itself is no stranger's.
WITH placed AS MATERIALIZED (
    SELECT held.classid, held.objid, held.refobjid AS owner
    FROM pg_namespace AS n
    JOIN pg_depend AS lies
        ON lies.refclassid = 'pg_namespace'::regclass
        AND lies.refobjid = n.oid
        AND lies.deptype = 'n'
    JOIN pg_shdepend AS held
        ON held.dbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
        AND held.classid = lies.classid
        AND held.objid = lies.objid
        AND held.refclassid = 'pg_authid'::regclass
        AND held.deptype = 'o'
    WHERE n.nspname IN ('public', 'ops')
),

strangers AS MATERIALIZED (
    SELECT r.oid, r.rolname
    FROM pg_database AS d
    JOIN pg_roles AS session ON session.rolname = current_user
    LEFT JOIN pg_roles AS operations ON operations.rolname = 'ft_ops'
    CROSS JOIN pg_roles AS r
    WHERE d.datname = current_database()
      AND r.oid IN (SELECT p.owner FROM placed AS p UNION SELECT e.extowner FROM pg_extension AS e)
      AND NOT pg_has_role(
          CASE r.rolname WHEN 'pg_database_owner' THEN d.datdba ELSE r.oid END,
          CASE session.rolname WHEN 'ft_ops' THEN session.oid ELSE d.datdba END,
          'MEMBER'
      )
      -- A copy of the database that an administrator restores has his name on it.
      AND NOT (session.rolsuper AND coalesce(pg_has_role(r.oid, operations.oid, 'MEMBER'), false))
),

theirs AS MATERIALIZED (
    SELECT p.classid, p.objid, s.rolname
    FROM strangers AS s
    JOIN placed AS p ON p.owner = s.oid
)

SELECT
    found.type || ' ' || found.identity AS name,
    t.rolname::text AS owner,
    t.classid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
    OR t.classid = 'pg_class'::regclass
    AND EXISTS (SELECT FROM pg_class AS c WHERE c.oid = t.objid AND c.relkind IN ('v', 'f'))
    AND NOT EXISTS (
        SELECT
        FROM pg_class AS ledger
        WHERE ledger.oid = to_regclass('public._sqlx_migrations')
          AND ledger.relkind = 'r'
          AND ledger.relowner NOT IN (SELECT s.oid FROM strangers AS s)
    ) AS can_run
FROM theirs AS t
CROSS JOIN pg_identify_object(t.classid, t.objid, 0) AS found
WHERE found.identity IS NOT NULL
  AND NOT EXISTS (
      SELECT
      FROM pg_depend AS member
      JOIN pg_extension AS extension ON extension.oid = member.refobjid
      WHERE member.classid = t.classid
        AND member.objid = t.objid
        AND member.refclassid = 'pg_extension'::regclass
        AND member.deptype = 'e'
        AND extension.extowner NOT IN (SELECT s.oid FROM strangers AS s)
  )
ORDER BY 3 DESC, 2, 1;

-- name: are_strangers_here
-- Whether a function, an operator, a view or a foreign table in the schemas of strangers_objects belongs
-- to a role that may be a stranger: which of them matter, that statement tells. Each session asks
-- this, so it looks at owners alone. To be asked with nothing but pg_catalog on the path. Reads the
-- catalog.
SELECT EXISTS (
    SELECT
    FROM (
        SELECT p.proowner
        FROM pg_proc AS p
        WHERE p.pronamespace IN (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname IN ('public', 'ops'))
        UNION
        SELECT o.oprowner
        FROM pg_operator AS o
        WHERE o.oprnamespace IN (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname IN ('public', 'ops'))
        UNION
        SELECT c.relowner
        FROM pg_class AS c
        WHERE c.relkind IN ('v', 'f')
          AND c.relnamespace IN (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname IN ('public', 'ops'))
    ) AS placed (owner)
    JOIN pg_database AS d ON d.datname = current_database()
    WHERE NOT pg_has_role(
        placed.owner,
        coalesce(
            (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = 'ft_ops' AND r.rolname = current_user),
            d.datdba
        ),
        'MEMBER'
    )
);

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
