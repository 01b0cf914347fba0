-- What is installed here, and whether this server has the library and scripts of that version.
SELECT
    e.extname,
    e.extversion,
    v.version IS NOT NULL AS is_available
FROM pg_extension AS e
LEFT JOIN pg_available_extension_versions AS v
    ON v.name = e.extname AND v.version = e.extversion;
