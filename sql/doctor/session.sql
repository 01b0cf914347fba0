-- Who the operations are, and whether policies or limits could stand in their way. Reads the
-- catalog only.
SELECT
    current_user::text AS role,
    r.rolsuper AS is_superuser,
    r.rolbypassrls AS bypasses_policies,
    pg_has_role(d.datdba, 'USAGE') AS owns_database,
    pg_encoding_to_char(d.encoding) AS encoding,
    current_setting('server_version') AS version,
    current_setting('server_version_num')::integer / 10000 AS major_version,
    pg_is_in_recovery() AS is_replica
FROM pg_database AS d
JOIN pg_roles AS r ON r.rolname = current_user
WHERE d.datname = current_database();
