-- Where amcheck's function is, if the extension is installed.
SELECT n.nspname
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.proname = 'bt_index_check' AND p.pronargs = 2;
