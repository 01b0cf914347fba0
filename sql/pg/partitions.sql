-- name: partitions_of
-- The partitions of a table by lower bound, with those whose detach is pending. Catalog reads
-- only: no partition is opened, so none is waited for. (pg_get_expr opens the relation that it is
-- told of; a bound names no column, and needs none.) Bounds are read back as timestamptz: the
-- session's TimeZone does not change them. They are NULL for a default partition. What lies
-- before 1000 or after 8999, MINVALUE and infinity too, is an instant there that begins no month:
-- Python's dates end at 9999, and whoever adds years to a month must get a date.
SELECT
    namespace.nspname AS schema,
    child.relname AS name,
    pg_get_expr(child.relpartbound, 0) AS bounds,
    least(
        greatest(
            replace(bounds.parts[1], 'MINVALUE', '-infinity')::timestamptz, '1000-01-02 00:00Z'
        ),
        '8999-12-30 00:00Z'
    ) AS lower,
    least(
        greatest(
            replace(bounds.parts[2], 'MAXVALUE', 'infinity')::timestamptz, '1000-01-02 00:00Z'
        ),
        '8999-12-30 00:00Z'
    ) AS upper,
    pg_get_expr(child.relpartbound, 0) = 'DEFAULT' AS is_default,
    link.inhdetachpending AS is_detaching,
    greatest(child.reltuples, 0)::bigint AS estimated_rows
FROM pg_inherits AS link
JOIN pg_class AS child ON child.oid = link.inhrelid
JOIN pg_namespace AS namespace ON namespace.oid = child.relnamespace
CROSS JOIN LATERAL regexp_match(
    pg_get_expr(child.relpartbound, 0),
    'FROM \(''?([^'')]+)''?\) TO \(''?([^'')]+)''?\)'
) AS bounds (parts)
WHERE link.inhparent = %(parent)s::regclass
ORDER BY lower, name;

-- name: partition_oids
-- The partitions of a table by name. Catalog reads only.
SELECT child.relname, child.oid::bigint
FROM pg_inherits AS link
JOIN pg_class AS child ON child.oid = link.inhrelid
WHERE link.inhparent = %(parent)s::regclass;
