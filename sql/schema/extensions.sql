-- What the server offers of the named extensions, and what this database has. Catalog reads only.
-- The setting is read through its view: to a role that may not see it, it shows no row, no error.
SELECT
    wanted.name,
    available.default_version,
    installed.extversion AS installed_version,
    wanted.name NOT IN ('timescaledb', 'pg_stat_statements') OR EXISTS (
        SELECT
        FROM pg_settings AS s
        WHERE s.name = 'shared_preload_libraries'
          AND s.setting LIKE '%%' || wanted.name || '%%'
    ) AS is_loadable
FROM unnest(%(names)s::text[]) AS wanted (name)
LEFT JOIN pg_available_extensions AS available ON available.name = wanted.name
LEFT JOIN pg_extension AS installed ON installed.extname = wanted.name
ORDER BY wanted.name;
