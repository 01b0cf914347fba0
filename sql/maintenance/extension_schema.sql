-- The schema of an extension's function, when this role may execute it: no row otherwise.
SELECT n.nspname
FROM pg_extension AS e
JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
    AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_proc AS p ON p.oid = d.objid
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE e.extname = %(extension)s
  AND p.proname = %(function)s
  AND p.pronargs = 1
  AND p.proargtypes[0] = 'regclass'::regtype
  AND has_function_privilege(p.oid, 'EXECUTE')
  AND has_schema_privilege(n.oid, 'USAGE')
LIMIT 1;
