-- What the server offers of the specification's extensions, and what this database has. Catalog
-- reads only.
SELECT
    wanted.name,
    available.default_version,
    installed.extversion AS installed_version,
    wanted.name NOT IN ('timescaledb')
        OR current_setting('shared_preload_libraries') LIKE '%%' || wanted.name || '%%'
        AS is_loadable
FROM unnest(%(names)s::text[]) AS wanted (name)
LEFT JOIN pg_available_extensions AS available ON available.name = wanted.name
LEFT JOIN pg_extension AS installed ON installed.extname = wanted.name
ORDER BY wanted.name;
