-- name: forget_estimates
-- Estimates of files that no longer exist and whose truth nobody measured: of dropped indexes, and
-- of those that somebody else rebuilt.
DELETE FROM ops.index_estimates AS e
WHERE e.rebuilt_at IS NULL
  AND NOT EXISTS (
      SELECT
      FROM pg_class AS c
      JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE n.nspname = e.schema_name
        AND c.relname = e.index_name
        AND c.relfilenode::bigint = e.file_node
  );

-- name: count_rows
-- The rows that an index holds, counted: ACCESS SHARE, reads the index or the table once. Tables that
-- inherit from it have indexes of their own.
SELECT count(*)
FROM ONLY {table}
WHERE {predicate};

-- name: record_estimate
-- One index's newest estimate. The smallest size of a row that was ever seen is kept.
INSERT INTO ops.index_estimates AS known (
    schema_name, index_name, file_node, method, is_certain, bytes, rows, estimated_bytes,
    least_bytes_per_row, problem
) VALUES (
    %(schema)s, %(name)s, %(file_node)s, %(method)s, %(is_certain)s, %(bytes)s, %(rows)s,
    %(estimated_bytes)s, %(bytes_per_row)s, %(problem)s
)
ON CONFLICT (schema_name, index_name, file_node) DO UPDATE
SET
    method = excluded.method,
    is_certain = excluded.is_certain,
    bytes = excluded.bytes,
    rows = excluded.rows,
    estimated_bytes = excluded.estimated_bytes,
    least_bytes_per_row = least(known.least_bytes_per_row, excluded.least_bytes_per_row),
    problem = excluded.problem,
    estimated_at = now();

-- name: estimate_errors
-- The estimates of the last 200 rebuilds against what came of them, in points of the size before.
SELECT
    schema_name AS schema,
    index_name AS name,
    method,
    100 * abs(estimated_bytes - rebuilt_bytes)::float8 / bytes AS points
FROM ops.index_estimates
WHERE rebuilt_bytes IS NOT NULL
  AND estimated_bytes IS NOT NULL
  AND bytes > 0
ORDER BY rebuilt_at DESC
LIMIT 200;

-- name: leaf_bytes
-- The bytes in use on a btree's leaf pages: ACCESS SHARE, reads the whole index.
SELECT (leaf_pages * (%(page)s - 40) * avg_leaf_density / 100)::bigint
FROM {function}(%(index)s::regclass);

-- name: extension_schema
-- The schema of an extension's function, when this role may execute it: no row otherwise.
SELECT n.nspname
FROM pg_extension AS e
JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
    AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_proc AS p ON p.oid = d.objid
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE e.extname = %(extension)s
  AND p.proname = %(function)s
  AND p.pronargs = 1
  AND p.proargtypes[0] = 'regclass'::regtype
  AND has_function_privilege(p.oid, 'EXECUTE')
  AND has_schema_privilege(n.oid, 'USAGE')
LIMIT 1;

-- name: stored_estimates
-- What was estimated for indexes as they are stored now: a row an index.
SELECT
    schema_name AS schema, index_name AS name, file_node, method, is_certain, bytes, rows,
    estimated_bytes, least_bytes_per_row, estimated_at
FROM ops.index_estimates
WHERE rebuilt_at IS NULL;

-- name: index_states
-- Every index of the database's own tables, with what its estimate and its rebuild need to know.
-- Reads catalogs and statistics; takes ACCESS SHARE on each table and index for a moment, but for
-- those that are locked: of them it is known what the last vacuum counted, and no definition.
SELECT
    i.indexrelid::bigint AS oid,
    n.nspname AS schema,
    t.relname AS table_name,
    c.relname AS name,
    i.indrelid::bigint AS table_oid,
    am.amname AS method,
    c.relkind = 'I' AS is_partitioned,
    c.relfilenode::bigint AS file_node,
    CASE
        WHEN held.is_locked THEN c.relpages::bigint * 8192
        ELSE coalesce(pg_relation_size(i.indexrelid), 0)
    END AS bytes,
    c.reltuples::float8 AS tuples,
    CASE
        WHEN held.is_locked THEN t.relpages::bigint * 8192
        ELSE coalesce(pg_relation_size(i.indrelid), 0)
    END AS table_bytes,
    t.reltuples::float8 AS table_tuples,
    -- Counters that began anew, after a crash or a reset, know only the rows since: until a
    -- vacuum or an analyze has told them more, what was counted before stands. Of a table that nothing
    -- has counted but a CREATE INDEX that is a guess, if the counters say something else.
    CASE
        WHEN looked.at IS NULL
            THEN greatest(pg_stat_get_live_tuples(i.indrelid), t.reltuples::bigint, 0)
        ELSE coalesce(pg_stat_get_live_tuples(i.indrelid), 0)
    END AS live_rows,
    greatest(
        pg_stat_get_last_vacuum_time(i.indrelid), pg_stat_get_last_autovacuum_time(i.indrelid)
    ) AS vacuumed_at,
    looked.at IS NOT NULL
        OR t.reltuples < 0
        OR abs(coalesce(pg_stat_get_live_tuples(i.indrelid), 0) - t.reltuples)
            <= 0.02 * t.reltuples
        AS is_counted,
    i.indisexclusion AS is_exclusion,
    i.indisvalid AND i.indisready AND i.indislive AS is_valid,
    t.relpersistence = 't' AS is_temporary,
    coalesce(options.fillfactor, 90) AS fillfactor,
    (
        am.amname = 'btree'
        AND NOT i.indisunique
        AND i.indnatts = i.indnkeyatts
        AND coalesce(options.deduplicates, true)
        AND coalesce(keys.equal_image, false)
    ) AS deduplicates,
    CASE WHEN NOT held.is_locked THEN pg_get_expr(i.indpred, i.indrelid, true) END AS predicate,
    coalesce(keys.columns, '[]') AS columns,
    CASE WHEN held.is_locked THEN '' ELSE pg_get_indexdef(i.indexrelid) END AS definition,
    owner.rolname AS owner,
    owner.rolsuper AS is_superusers,
    pg_has_role(t.relowner, 'USAGE') AS may_maintain
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_am AS am ON am.oid = c.relam
JOIN pg_roles AS owner ON owner.oid = t.relowner
CROSS JOIN LATERAL (
    SELECT i.indexrelid = ANY (%(locked)s::oid[]) OR i.indrelid = ANY (%(locked)s::oid[])
) AS held (is_locked)
CROSS JOIN LATERAL (
    SELECT coalesce(
        pg_stat_get_last_vacuum_time(i.indrelid),
        pg_stat_get_last_autovacuum_time(i.indrelid),
        pg_stat_get_last_analyze_time(i.indrelid),
        pg_stat_get_last_autoanalyze_time(i.indrelid)
    )
) AS looked (at)
CROSS JOIN LATERAL (
    SELECT
        (max(option_value::float8) FILTER (WHERE option_name = 'fillfactor'))::integer AS fillfactor,
        bool_and(option_value::boolean) FILTER (WHERE option_name = 'deduplicate_items')
            AS deduplicates
    FROM pg_options_to_table(c.reloptions)
) AS options
CROSS JOIN LATERAL (
    SELECT
        json_agg(
            json_build_object(
                'expression', concat(
                    '(', pg_get_indexdef(i.indexrelid, a.attnum, true), ')',
                    ' COLLATE ' || quote_ident(collation_schema.nspname)
                        || '.' || quote_ident(l.collname)
                ),
                'length', a.attlen,
                'alignment', CASE a.attalign
                    WHEN 'c' THEN 1 WHEN 's' THEN 2 WHEN 'i' THEN 4 ELSE 8
                END,
                'is_key', a.attnum <= i.indnkeyatts,
                'is_computed', i.indkey[a.attnum - 1] = 0,
                'may_shrink', a.attlen = -1 AND a.attstorage IN ('x', 'm'),
                -- The operator class may store another type; of a btree, only a name's is known.
                'is_recast', CASE
                    WHEN a.attnum > i.indnkeyatts THEN false
                    ELSE EXISTS (
                        SELECT FROM pg_opclass AS o
                        WHERE o.oid = i.indclass[a.attnum - 1]
                          AND o.opckeytype NOT IN (0, o.opcintype, 'cstring'::regtype)
                    )
                END
            )
            ORDER BY a.attnum
        ) AS columns,
        -- Deduplication needs a support function 4 that says equal means bitwise equal.
        bool_and(
            a.attnum > i.indnkeyatts
            OR coalesce(l.collisdeterministic, true) AND EXISTS (
                SELECT
                FROM pg_opclass AS o
                JOIN pg_amproc AS p
                    ON p.amprocfamily = o.opcfamily
                    AND p.amproclefttype = o.opcintype
                    AND p.amprocrighttype = o.opcintype
                WHERE o.oid = i.indclass[a.attnum - 1] AND p.amprocnum = 4
            )
        ) AS equal_image
    FROM pg_attribute AS a
    LEFT JOIN pg_collation AS l
        ON a.attnum <= i.indnkeyatts AND l.oid = i.indcollation[a.attnum - 1]
    LEFT JOIN pg_namespace AS collation_schema ON collation_schema.oid = l.collnamespace
    WHERE a.attrelid = i.indexrelid
      AND NOT held.is_locked
) AS keys
WHERE n.nspname <> 'information_schema'
  AND n.nspname NOT LIKE 'pg\_%%'
  AND NOT EXISTS (
      SELECT FROM pg_depend AS d WHERE d.objid = i.indrelid AND d.deptype = 'e'
  )
ORDER BY n.nspname, t.relname, c.relname;

-- name: sample_rows
-- Where sampled rows of an index are, how wide each of its columns is stored there, and whether one of
-- them may be compressed on its way into the index. Reads about {percent} of the table's pages under
-- ACCESS SHARE. Where a table has far more rows than its statistics say, it is the first {most} of
-- them.
SELECT ctid::text AS row, ARRAY[{widths}]::integer[] AS widths, {may_shrink} AS may_shrink
FROM ONLY {table} TABLESAMPLE SYSTEM (%(percent)s)
WHERE {predicate}
  AND random() < %(share)s
LIMIT %(most)s;

-- name: count_same_keys
-- How many rows share the key of each sampled row, counted up to a cap: one index descent for each
-- distinct key, under ACCESS SHARE. All rows asked for are null in the same columns: an index
-- serves IS NULL and equality, but not IS NOT DISTINCT FROM.
SELECT sampled.tids, same.rows
FROM (
    SELECT array_agg(found.tid::text) AS tids, {key_names}
    FROM (
        SELECT ctid AS tid, {keys}
        FROM ONLY {table}
        WHERE ctid = ANY (%(rows)s::tid[]) AND {predicate}
    ) AS found
    GROUP BY {key_names}
) AS sampled
CROSS JOIN LATERAL (
    SELECT count(*) AS rows
    FROM (
        SELECT FROM ONLY {table}
        WHERE {same_keys} AND {predicate}
        LIMIT %(cap)s
    ) AS found
) AS same;
