-- name: known_settings
-- Every setting that this version knows, and what it takes.
SELECT name, vartype, min_val, max_val, enumvals, boot_val, unit
FROM pg_settings
WHERE strpos(name, '.') = 0;

-- name: known_types
-- The catalog's own types.
SELECT typname::text
FROM pg_type
WHERE typnamespace = 'pg_catalog'::regnamespace;

-- name: known_extensions
-- What can be installed, by its default version.
SELECT name::text, default_version
FROM pg_available_extensions;

-- name: collation_versions
-- The version that this server's library has of each collation, and of the database's own (NULL). It is
-- asked of the library: what the catalog says came along with the upgrade, or was written by initdb.
SELECT format('%%I.%%I', n.nspname, c.collname), pg_collation_actual_version(c.oid)
FROM pg_collation AS c
JOIN pg_namespace AS n ON n.oid = c.collnamespace
WHERE format('%%I.%%I', n.nspname, c.collname) = ANY (%(names)s)
  AND c.collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding()))
UNION ALL
SELECT NULL, pg_database_collation_actual_version(d.oid)
FROM pg_database AS d
WHERE d.datname = current_database();

-- name: text_search_indexes
-- Indexes over lexemes or trigrams: from version 18 on these are made with the database's own collation
-- provider, so that those of another one than libc have to be made anew. Catalog reads only.
SELECT DISTINCT format('%I.%I', n.nspname, i.relname), oc.opcname::text
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_namespace AS n ON n.oid = i.relnamespace
JOIN pg_opclass AS oc ON oc.oid = ANY (x.indclass::oid[])
JOIN pg_database AS d ON d.datname = current_database()
WHERE i.oid >= 16384
  AND d.datlocprovider <> 'c'
  AND (oc.opcname ~ 'trgm' OR oc.opcintype = 'tsvector'::regtype)
ORDER BY 1;

-- name: tables_to_analyze
-- What ANALYZE without a name goes through, but for the catalog.
SELECT n.nspname::text, c.relname::text
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm')
  AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname !~ '^pg_toast'
ORDER BY 1, 2;

-- name: materialized_views
-- Those that hold rows, in the order in which they were made: one may read another.
SELECT n.nspname::text, c.relname::text
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'm'
  AND c.relispopulated
ORDER BY c.oid;
