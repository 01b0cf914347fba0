-- name: table_columns
-- A table's columns in order. Catalog reads only.
SELECT
    attname AS name,
    format_type(atttypid, atttypmod) AS type,
    attnotnull AS not_null
FROM pg_attribute
WHERE attrelid = ('public.' || %(table)s)::regclass
  AND attnum > 0
  AND NOT attisdropped
ORDER BY attnum;
