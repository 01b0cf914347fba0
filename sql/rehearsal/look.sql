-- name: databases
-- Every database of the cluster, and whether it lets anybody in. One whose DROP DATABASE was interrupted is
-- invalid (-2), and lets nobody in whatever it says.
SELECT
    datname,
    CASE WHEN datconnlimit = -2 THEN 'invalid' WHEN datallowconn THEN 'open' ELSE 'closed' END
FROM pg_database
WHERE datname <> 'template0'
ORDER BY datname;

-- name: columns_of_types
-- The stored columns of some types of the catalog, also through domains, arrays, ranges and composite
-- types. Catalog reads only.
WITH RECURSIVE holding AS (
    SELECT t.oid
    FROM pg_type AS t
    WHERE t.typnamespace = 'pg_catalog'::regnamespace
      AND t.typname = ANY (%(types)s::text[])
    UNION
    SELECT outer_type.oid
    FROM holding AS h
    CROSS JOIN LATERAL (
        SELECT t.oid FROM pg_type AS t WHERE t.typbasetype = h.oid AND t.typtype = 'd'
        UNION ALL
        SELECT t.oid FROM pg_type AS t WHERE t.typelem = h.oid AND t.typtype = 'b'
        UNION ALL
        SELECT r.rngtypid FROM pg_range AS r WHERE r.rngsubtype = h.oid
        UNION ALL
        SELECT r.rngmultitypid FROM pg_range AS r WHERE r.rngtypid = h.oid
        UNION ALL
        SELECT c.reltype
        FROM pg_attribute AS a
        JOIN pg_class AS c ON c.oid = a.attrelid
        WHERE a.atttypid = h.oid
          AND NOT a.attisdropped
          AND c.reltype <> 0
    ) AS outer_type
)

SELECT format('%%I.%%I.%%I', n.nspname, c.relname, a.attname), format_type(a.atttypid, a.atttypmod)
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE a.atttypid IN (SELECT oid FROM holding)
  AND a.attnum > 0
  AND NOT a.attisdropped
  AND c.relkind IN ('r', 'm', 'i', 'p')
  AND c.oid >= 16384
  AND n.nspname !~ '^pg_(temp|toast)'
ORDER BY 1;

-- name: columns_of_catalogs
-- The columns that store whole rows of the catalog's own tables or views, singly or in arrays. Catalog
-- reads only.
SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname), format_type(a.atttypid, a.atttypmod)
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_type AS element ON element.oid = t.typelem AND t.typtype = 'b'
WHERE 'c' IN (t.typtype, element.typtype)
  AND coalesce(element.oid, t.oid) < 16384
  AND a.attnum > 0
  AND NOT a.attisdropped
  AND c.relkind IN ('r', 'm', 'i', 'p')
  AND c.oid >= 16384
ORDER BY 1;

-- name: types_in_use
-- The catalog's own types that columns of tables have, also through arrays, domains, ranges and composite
-- types. Catalog reads only.
WITH RECURSIVE used AS (
    SELECT a.atttypid AS oid
    FROM pg_attribute AS a
    JOIN pg_class AS c ON c.oid = a.attrelid AND c.oid >= 16384 AND c.relkind IN ('r', 'm', 'p', 'c')
    WHERE a.attnum > 0
      AND NOT a.attisdropped
    UNION
    SELECT inner_type.oid
    FROM used AS u
    JOIN pg_type AS t ON t.oid = u.oid
    CROSS JOIN LATERAL (
        SELECT t.typbasetype WHERE t.typtype = 'd'
        UNION ALL
        SELECT t.typelem WHERE t.typcategory = 'A'
        UNION ALL
        SELECT r.rngsubtype FROM pg_range AS r WHERE r.rngtypid = t.oid
        UNION ALL
        SELECT r.rngtypid FROM pg_range AS r WHERE r.rngmultitypid = t.oid
    ) AS inner_type (oid)
)

SELECT DISTINCT t.typname::text
FROM used AS u
JOIN pg_type AS t ON t.oid = u.oid
WHERE t.typnamespace = 'pg_catalog'::regnamespace
  AND t.typtype = 'b'
  AND t.typcategory <> 'A';

-- name: collations_of_indexes
-- The collations by which indexes of this database are ordered, with the version of the library that they
-- were made with: of the database's own (number 100), what the database has. Catalog reads only.
SELECT
    format('%I.%I', n.nspname, i.relname) AS index,
    CASE WHEN co.oid <> 100 THEN format('%I.%I', cn.nspname, co.collname) END AS collation,
    CASE WHEN co.oid <> 100 THEN co.collversion ELSE d.datcollversion END AS version
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid AND i.oid >= 16384
JOIN pg_namespace AS n ON n.oid = i.relnamespace
JOIN pg_collation AS co ON co.oid = ANY (x.indcollation::oid[])
JOIN pg_namespace AS cn ON cn.oid = co.collnamespace
JOIN pg_database AS d ON d.datname = current_database()
WHERE CASE WHEN co.oid <> 100 THEN co.collversion ELSE d.datcollversion END IS NOT NULL
ORDER BY 1, 2;

-- name: collation_of_database
-- The version of the library that this database's own collation was made with. Catalog reads only.
SELECT datcollversion
FROM pg_database
WHERE datname = current_database();

-- name: prepared
-- Transactions that are prepared for a commit in two phases.
SELECT gid, format('of %s in %s since %s', owner, database, prepared)
FROM pg_prepared_xacts
ORDER BY prepared;

-- name: unlogged
-- Tables of which no backup has a row.
SELECT format('%I.%I', n.nspname, c.relname), pg_size_pretty(pg_relation_size(c.oid))
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relpersistence = 'u'
  AND c.relkind IN ('r', 'p')
ORDER BY 1;

-- name: hash_indexes
-- Indexes by hash.
SELECT format('%I.%I', n.nspname, c.relname), c.reloptions::text
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_am AS am ON am.oid = c.relam AND am.amname = 'hash'
WHERE c.relkind IN ('i', 'I')
  AND c.oid >= 16384
ORDER BY 1;

-- name: invalid_indexes
-- Indexes that no query uses: their build, or that of a partition's, has not ended.
SELECT format('%I.%I', n.nspname, c.relname), i.indrelid::regclass::text
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid
ORDER BY 1;

-- name: tablespaces
-- Tablespaces that somebody has made, with where they are.
SELECT spcname, pg_tablespace_location(oid)
FROM pg_tablespace
WHERE oid >= 16384
  AND has_tablespace_privilege(oid, 'CREATE') IS NOT NULL
ORDER BY spcname;

-- name: kept_settings
-- What is set for a database or a role: name, value, and for whom. Read in one database for all.
SELECT
    split_part(pair, '=', 1) AS name,
    substr(pair, strpos(pair, '=') + 1) AS setting,
    concat_ws(' in ', 'role ' || r.rolname, 'database ' || d.datname) AS whose
FROM pg_db_role_setting AS s
CROSS JOIN LATERAL unnest(s.setconfig) AS pair
LEFT JOIN pg_roles AS r ON r.oid = s.setrole
LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
ORDER BY 1, 3;

-- name: md5_passwords
-- Roles whose password is kept as MD5. Superusers alone may ask.
SELECT rolname, 'MD5'
FROM pg_authid
WHERE rolpassword LIKE 'md5%'
ORDER BY rolname;

-- name: extensions
-- What is installed in this database.
SELECT extname, extversion
FROM pg_extension
ORDER BY extname;

-- name: subscriptions
-- Subscriptions of this cluster to others. Superusers alone may ask.
SELECT subname, CASE WHEN subenabled THEN 'enabled' ELSE 'disabled' END
FROM pg_subscription
ORDER BY subname;

-- name: size
-- Bytes of this database.
SELECT pg_database_size(current_database());
