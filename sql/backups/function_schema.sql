-- Where amcheck's function is, if the extension is installed and this role may call it. A temporary
-- copy of a managed server is looked at by the operations' role, which is no superuser there.
SELECT n.nspname
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.proname = 'bt_index_check'
  AND p.pronargs = 2
  AND has_function_privilege(p.oid, 'EXECUTE')
  AND has_schema_privilege(n.oid, 'USAGE');
