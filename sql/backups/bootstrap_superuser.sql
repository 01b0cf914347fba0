-- This database, and the role that initdb made: 10 is BOOTSTRAP_SUPERUSERID.
SELECT
    current_database(),
    rolname
FROM pg_roles
WHERE oid = 10;
