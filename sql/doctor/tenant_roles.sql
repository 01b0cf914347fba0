-- The roles that row level security must hold, with what would let them past it. One row a role
-- that bootstrap.sql makes, whether it exists or not. Reads the catalog only.
SELECT
    wanted.name,
    r.oid IS NOT NULL AS is_there,
    coalesce(r.rolsuper OR r.rolbypassrls, false) AS passes_policies,
    coalesce(pg_has_role(r.oid, current_user, 'MEMBER'), false) AS is_operations
FROM unnest(ARRAY['ft_app', 'ft_readonly']) AS wanted (name)
LEFT JOIN pg_roles AS r ON r.rolname = wanted.name
ORDER BY wanted.name;
