-- name: columns
-- Every column of every table that a dump has rows of (of a materialized view it has none), with the base type of what it holds: a domain's, an
-- array's elements'. A partition is its table's. Catalog reads only.
WITH RECURSIVE base AS (
    SELECT oid AS type, oid AS base, false AS is_array FROM pg_type
    UNION
    SELECT
        b.type,
        CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END,
        b.is_array OR t.typtype <> 'd'
    FROM base AS b
    JOIN pg_type AS t ON t.oid = b.base
    WHERE t.typtype = 'd' OR (t.typcategory = 'A' AND t.typelem <> 0)
)

SELECT
    format('%%s.%%s', n.nspname, c.relname) AS table_name,
    a.attname::text AS name,
    -- A type of another schema may have the name of one of the server's.
    CASE
        WHEN t.typnamespace = 'pg_catalog'::regnamespace OR t.typname = 'citext' THEN t.typname::text
        ELSE format('%%s.%%s', t.typnamespace::regnamespace, t.typname)
    END AS type,
    t.typtype::text AS typtype,
    b.is_array,
    a.attnotnull AS not_null,
    a.attgenerated <> '' AS is_generated,
    CASE WHEN a.atttypmod > 4 AND t.typname = 'varchar' THEN a.atttypmod - 4 END AS length,
    EXISTS (
        SELECT FROM pg_constraint AS k
        WHERE k.contype = 'c'
          AND k.convalidated
          AND NOT k.connoinherit
          AND ((k.conrelid = c.oid AND k.conkey = ARRAY[a.attnum]) OR k.contypid = a.atttypid)
          AND pg_get_expr(k.conbin, k.conrelid) ~ %(listed)s
    ) AS is_checked
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN base AS b ON b.type = a.atttypid
JOIN pg_type AS t
    ON t.oid = b.base AND t.typtype <> 'd' AND NOT (t.typcategory = 'A' AND t.typelem <> 0)
WHERE c.relkind IN ('r', 'p', 'f')
  AND NOT c.relispartition
  AND n.nspname = ANY (%(schemas)s::text[])
ORDER BY n.nspname, c.relname, a.attnum;

-- name: tables_of
-- The tables of some schemas, partitions by their parents.
SELECT n.nspname::text, c.relname::text
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%(schemas)s::text[])
  AND c.relkind IN ('r', 'p')
  AND NOT c.relispartition
ORDER BY 1, 2;

-- name: tables_of_extensions
-- Tables outside of some schemas whose rows an extension has declared its users', such as a scheduler's
-- commands: a dump with the extension has them. Catalog reads only.
SELECT DISTINCT n.nspname::text, c.relname::text
FROM pg_extension AS e
CROSS JOIN LATERAL unnest(e.extconfig) AS configured (oid)
JOIN pg_class AS c ON c.oid = configured.oid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname <> ALL (%(schemas)s::text[])
ORDER BY 1, 2;

-- name: other_roles
-- Roles and tablespaces that somebody has made besides the operations' own.
SELECT 'ROLE', rolname::text
FROM pg_roles
WHERE rolname <> ALL (%(known)s::text[])
  AND oid >= 16384
UNION ALL
SELECT 'TABLESPACE', spcname::text
FROM pg_tablespace
WHERE oid >= 16384
ORDER BY 1, 2;

-- name: own_words
-- Keywords, types, functions, settings and extensions: words that definitions have of PostgreSQL itself.
SELECT word::text FROM pg_get_keywords()
UNION
SELECT format_type(oid, NULL) FROM pg_type WHERE oid < 16384
UNION
SELECT proname::text FROM pg_proc WHERE oid < 16384
UNION
SELECT name FROM pg_settings
UNION
SELECT name::text FROM pg_available_extensions;

-- name: names_of_tables
-- What an audit log names: tables and columns of some schemas. Catalog reads only.
SELECT c.relname::text
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%(schemas)s::text[])
UNION
SELECT a.attname::text
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%(schemas)s::text[]);

-- name: create_digest
-- A keyed digest of a text: without the two keys nobody can tell what it was, nor try guesses. This
-- session's alone. STABLE, as convert_to is: otherwise it could not become a part of its caller's
-- expression, and each digest would start an executor.
CREATE FUNCTION pg_temp.ft_digest(kind text, value text, inner_key bytea, outer_key bytea)
RETURNS text LANGUAGE sql STABLE STRICT AS $$
SELECT encode(
    sha256(outer_key || sha256(inner_key || convert_to(kind || chr(31) || value, 'UTF8'))), 'hex'
)
$$;

-- name: create_filler
-- As many characters as a text has. This session's alone.
CREATE FUNCTION pg_temp.ft_filler(value text, inner_key bytea, outer_key bytea)
RETURNS text LANGUAGE sql STABLE STRICT AS $$
SELECT left(
    repeat(
        left(pg_temp.ft_digest('text', value, inner_key, outer_key), 7) || ' ',
        char_length(value) / 8 + 1
    ),
    char_length(value)
)
$$;

-- name: create_json_leaf
-- A string or number of JSON masked; null, true and false as they are. This session's alone. It is not
-- STRICT, because a function that is would not become a part of its caller's expression.
CREATE FUNCTION pg_temp.ft_json_leaf(value jsonb, inner_key bytea, outer_key bytea)
RETURNS jsonb LANGUAGE sql STABLE AS $$
SELECT CASE jsonb_typeof(value)
    WHEN 'string' THEN to_jsonb(
        'm' || left(pg_temp.ft_digest('word', value #>> '{}', inner_key, outer_key), 24)
    )
    WHEN 'number' THEN to_jsonb(
        ('x' || left(pg_temp.ft_digest('number', value #>> '{}', inner_key, outer_key), 4))
        ::bit(16)::integer
    )
    ELSE value
END
$$;

-- name: create_json
-- JSON of the same form, with other strings, numbers and keys, however deep. This session's alone. Each
-- level is a call, which takes longer than masking: statements have the upper levels within themselves.
CREATE FUNCTION pg_temp.ft_json(value jsonb, kept text[], inner_key bytea, outer_key bytea)
RETURNS jsonb LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
    CASE jsonb_typeof(value)
        WHEN 'object' THEN
            RETURN coalesce(
                (
                    SELECT jsonb_object_agg(
                        CASE
                            WHEN e.key = ANY (kept) THEN e.key
                            ELSE 'k' || left(
                                pg_temp.ft_digest('key', e.key, inner_key, outer_key), 24
                            )
                        END,
                        pg_temp.ft_json(e.value, kept, inner_key, outer_key)
                    )
                    FROM jsonb_each(value) AS e
                ),
                '{}'
            );
        WHEN 'array' THEN
            RETURN coalesce(
                (
                    SELECT jsonb_agg(pg_temp.ft_json(e.v, kept, inner_key, outer_key) ORDER BY e.n)
                    FROM jsonb_array_elements(value) WITH ORDINALITY AS e (v, n)
                ),
                '[]'
            );
        ELSE RETURN pg_temp.ft_json_leaf(value, inner_key, outer_key);
    END CASE;
END
$$;

-- name: words_that_stay
-- What rows keep whatever they hold otherwise: the words that a CHECK lists, a table's or a domain's, and
-- those of enumerations. Catalog reads only.
SELECT pg_get_expr(k.conbin, k.conrelid)
FROM pg_constraint AS k
JOIN pg_namespace AS n ON n.oid = k.connamespace
WHERE k.contype = 'c'
  AND k.convalidated
  AND NOT k.connoinherit
  AND n.nspname = ANY (%(schemas)s::text[])
  AND pg_get_expr(k.conbin, k.conrelid) ~ %(listed)s
UNION
SELECT enumlabel::text
FROM pg_enum;

-- name: texts_of_json
-- The strings and keys of some documents.
WITH RECURSIVE parts AS (
    SELECT {column}::jsonb AS part FROM {table} WHERE {column} IS NOT NULL LIMIT 200
), walked AS (
    SELECT p.part FROM parts AS p
    UNION ALL
    SELECT inner_part.part
    FROM walked AS w
    CROSS JOIN LATERAL (
        SELECT e.value AS part FROM jsonb_each(
            CASE WHEN jsonb_typeof(w.part) = 'object' THEN w.part ELSE '{{}}' END
        ) AS e
        UNION ALL
        SELECT to_jsonb(e.key) FROM jsonb_each(
            CASE WHEN jsonb_typeof(w.part) = 'object' THEN w.part ELSE '{{}}' END
        ) AS e
        UNION ALL
        SELECT e.value FROM jsonb_array_elements(
            CASE WHEN jsonb_typeof(w.part) = 'array' THEN w.part ELSE '[]' END
        ) AS e
    ) AS inner_part
)

SELECT DISTINCT part #>> '{{}}' FROM walked WHERE jsonb_typeof(part) = 'string' LIMIT 100;

-- name: texts_of
-- Some values of a column.
SELECT DISTINCT v.value
FROM (SELECT {value} AS value FROM {table} AS c WHERE {column} IS NOT NULL LIMIT 2000) AS v
LIMIT 100;

-- name: stop_upkeep
-- Triggers and indexes that are not unique, of all tables of some schemas, left out of what an UPDATE does;
-- which they are, for resume_triggers and resume_indexes. For a copy that nobody else uses. Catalog alone.
WITH tables AS (
    SELECT c.oid
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY (%(schemas)s::text[])
), triggers AS (
    UPDATE pg_class SET relhastriggers = false
    WHERE oid IN (SELECT oid FROM tables) AND relhastriggers
    RETURNING oid
), indexes AS (
    UPDATE pg_index SET indisready = false
    WHERE indrelid IN (SELECT oid FROM tables)
      AND indisready AND NOT indisunique AND NOT indisexclusion
    RETURNING indexrelid
)

SELECT
    ARRAY(SELECT oid FROM triggers) AS triggers,
    ARRAY(SELECT indexrelid FROM indexes) AS indexes;

-- name: resume_triggers
-- Undoes the one half of stop_upkeep. Catalog alone.
UPDATE pg_class SET relhastriggers = true WHERE oid = ANY (%(triggers)s::oid[]);

-- name: resume_indexes
-- Undoes the other half, for the definitions' sake: the indexes lack what was changed meanwhile.
UPDATE pg_index SET indisready = true WHERE indexrelid = ANY (%(indexes)s::oid[]);
