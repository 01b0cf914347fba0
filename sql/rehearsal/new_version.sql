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

-- name: collations_changed
-- Indexes whose order was made with another version of the collation's library than this server has.
-- Catalog reads only.
WITH changed AS (
    SELECT
        c.oid,
        c.collversion AS recorded,
        pg_collation_actual_version(c.oid) AS actual
    FROM pg_collation AS c
    WHERE c.collversion IS DISTINCT FROM pg_collation_actual_version(c.oid)
      AND c.collversion IS NOT NULL
    UNION ALL
    SELECT
        100, -- DEFAULT_COLLATION_OID
        d.datcollversion,
        pg_database_collation_actual_version(d.oid)
    FROM pg_database AS d
    WHERE d.datname = current_database()
      AND d.datcollversion IS NOT NULL
      AND d.datcollversion IS DISTINCT FROM pg_database_collation_actual_version(d.oid)
)

SELECT DISTINCT
    format('%I.%I', n.nspname, i.relname),
    format('made with version %s of its collation, this server has %s', ch.recorded, ch.actual)
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_namespace AS n ON n.oid = i.relnamespace
JOIN changed AS ch ON ch.oid = ANY (x.indcollation::oid[])
WHERE i.oid >= 16384
ORDER BY 1;

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
