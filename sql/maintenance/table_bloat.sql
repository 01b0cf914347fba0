-- name: tables_to_estimate
-- Every table of the database's own with what its estimate needs: sizes of its main file and its
-- TOAST's, rows by the statistics, options, columns in their order. Reads catalogs and statistics;
-- ACCESS SHARE for a moment on each but for those that are locked: of them, what the last vacuum counted.
SELECT
    c.oid::bigint AS oid,
    n.nspname AS schema,
    c.relname AS name,
    CASE
        WHEN held.is_locked THEN c.relpages::bigint * 8192
        ELSE coalesce(pg_relation_size(c.oid), 0)
    END AS heap_bytes,
    CASE
        WHEN held.is_locked THEN coalesce(toast.relpages, 0)::bigint * 8192
        ELSE coalesce(pg_relation_size(c.reltoastrelid), 0)
    END AS toast_bytes,
    CASE WHEN held.is_locked THEN 0 ELSE coalesce(pg_indexes_size(c.oid), 0) END AS index_bytes,
    greatest(c.reltuples, 0)::float8 AS counted_rows,
    coalesce(options.fillfactor, 100) AS fillfactor,
    coalesce(options.toast_target, 2032) AS toast_target,
    c.relnatts::integer AS attributes,
    coalesce(attributes.columns, '[]') AS columns
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_class AS toast ON toast.oid = c.reltoastrelid
CROSS JOIN LATERAL (
    SELECT c.oid = ANY (%(locked)s::oid[]) OR c.reltoastrelid = ANY (%(locked)s::oid[])
        OR EXISTS (
            SELECT FROM pg_index AS i
            WHERE i.indrelid = c.oid AND i.indexrelid = ANY (%(locked)s::oid[])
        )
) AS held (is_locked)
CROSS JOIN LATERAL (
    SELECT
        (max(option_value::float8) FILTER (WHERE option_name = 'fillfactor'))::integer AS fillfactor,
        (max(option_value::float8) FILTER (WHERE option_name = 'toast_tuple_target'))::integer
            AS toast_target
    FROM pg_options_to_table(c.reloptions)
) AS options
CROSS JOIN LATERAL (
    SELECT json_agg(
        json_build_object(
            'name', a.attname,
            'length', a.attlen,
            'alignment', CASE a.attalign
                WHEN 'c' THEN 1 WHEN 's' THEN 2 WHEN 'i' THEN 4 ELSE 8
            END,
            'storage', a.attstorage
        )
        ORDER BY a.attnum
    ) AS columns
    FROM pg_attribute AS a
    WHERE a.attrelid = c.oid
      AND a.attnum > 0
      AND NOT a.attisdropped
      -- A virtual generated column is null in every row, as one that was dropped.
      AND a.attgenerated <> 'v'
) AS attributes
WHERE c.relkind = 'r'
  AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema'
  AND n.nspname NOT LIKE 'pg\_%%'
  AND NOT EXISTS (
      SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e'
  )
ORDER BY n.nspname, c.relname;

-- name: sample_widths
-- How wide the values of sampled rows are stored. Reads about {percent} of the table's pages under
-- ACCESS SHARE, and none of what is stored beside its rows.
SELECT ARRAY[{widths}]::integer[] AS widths
FROM ONLY {table} TABLESAMPLE SYSTEM (%(percent)s)
WHERE random() < %(share)s;
