-- Every index of the database's own tables, with what its estimate and its rebuild need to know.
-- Reads catalogs and statistics; pg_relation_size takes ACCESS SHARE on each index for a moment.
SELECT
    i.indexrelid::bigint AS oid,
    n.nspname AS schema,
    t.relname AS table_name,
    c.relname AS name,
    i.indrelid::bigint AS table_oid,
    am.amname AS method,
    coalesce(parent.inhparent, 0)::bigint AS parent_oid,
    c.relkind = 'I' AS is_partitioned,
    c.relfilenode::bigint AS file_node,
    pg_relation_size(i.indexrelid) AS bytes,
    c.reltuples::float8 AS tuples,
    pg_relation_size(i.indrelid) AS table_bytes,
    t.reltuples::float8 AS table_tuples,
    -- Counters that began anew, after a crash or a reset, know only the rows since: until a
    -- vacuum or an analyze has told them more, what was counted before stands.
    CASE
        WHEN coalesce(
            pg_stat_get_last_vacuum_time(i.indrelid),
            pg_stat_get_last_autovacuum_time(i.indrelid),
            pg_stat_get_last_analyze_time(i.indrelid),
            pg_stat_get_last_autoanalyze_time(i.indrelid)
        ) IS NULL
            THEN greatest(pg_stat_get_live_tuples(i.indrelid), t.reltuples::bigint, 0)
        ELSE coalesce(pg_stat_get_live_tuples(i.indrelid), 0)
    END AS live_rows,
    i.indisunique AS is_unique,
    i.indisexclusion AS is_exclusion,
    i.indisvalid AND i.indisready AND i.indislive AS is_valid,
    EXISTS (
        SELECT FROM pg_constraint AS k
        WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
    ) AS is_constraint,
    t.relpersistence = 't' AS is_temporary,
    coalesce(options.fillfactor, 90) AS fillfactor,
    (
        am.amname = 'btree'
        AND NOT i.indisunique
        AND i.indnatts = i.indnkeyatts
        AND coalesce(options.deduplicates, true)
        AND keys.equal_image
    ) AS deduplicates,
    pg_get_expr(i.indpred, i.indrelid, true) AS predicate,
    keys.columns,
    pg_get_indexdef(i.indexrelid) AS definition,
    owner.rolname AS owner,
    pg_has_role(t.relowner, 'USAGE') AS may_maintain
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_am AS am ON am.oid = c.relam
JOIN pg_roles AS owner ON owner.oid = t.relowner
LEFT JOIN pg_inherits AS parent ON parent.inhrelid = i.indexrelid
CROSS JOIN LATERAL (
    SELECT
        max(option_value) FILTER (WHERE option_name = 'fillfactor')::integer AS fillfactor,
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
                'is_computed', i.indkey[a.attnum - 1] = 0
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
) AS keys
WHERE n.nspname <> 'information_schema'
  AND n.nspname NOT LIKE 'pg\_%%'
  AND NOT EXISTS (
      SELECT FROM pg_depend AS d WHERE d.objid = i.indrelid AND d.deptype = 'e'
  )
ORDER BY n.nspname, t.relname, c.relname;
