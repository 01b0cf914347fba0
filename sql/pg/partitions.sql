-- name: partitions_of
-- The partitions of a table by lower bound, with those whose detach is pending. Catalog reads
-- only: no partition is opened, so none is waited for. (pg_get_expr opens the relation that it is
-- told of; a bound names no column, and needs none.) Bounds are read back as timestamptz: the
-- session's TimeZone does not change them. They are NULL for a default partition, MINVALUE,
-- MAXVALUE and infinity.
SELECT
    child.relname AS name,
    CASE WHEN isfinite(bounds.parts[1]::timestamptz) THEN bounds.parts[1]::timestamptz END AS lower,
    CASE WHEN isfinite(bounds.parts[2]::timestamptz) THEN bounds.parts[2]::timestamptz END AS upper,
    pg_get_expr(child.relpartbound, 0) = 'DEFAULT' AS is_default,
    link.inhdetachpending AS is_detaching,
    greatest(child.reltuples, 0)::bigint AS estimated_rows
FROM pg_inherits AS link
JOIN pg_class AS child ON child.oid = link.inhrelid
CROSS JOIN LATERAL regexp_match(
    pg_get_expr(child.relpartbound, 0),
    'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)'
) AS bounds (parts)
WHERE link.inhparent = %(parent)s::regclass
ORDER BY lower, name;

-- name: partition_oids
-- The partitions of a table by name. Catalog reads only.
SELECT child.relname, child.oid::bigint
FROM pg_inherits AS link
JOIN pg_class AS child ON child.oid = link.inhrelid
WHERE link.inhparent = %(parent)s::regclass;
