-- The extensions that matter here, installed or not. Reads the catalog only; default_version is
-- null where the server does not offer one.
SELECT wanted.name, a.default_version, a.installed_version
FROM unnest(%(names)s::text[]) AS wanted (name)
LEFT JOIN pg_available_extensions AS a ON a.name = wanted.name
ORDER BY wanted.name;
