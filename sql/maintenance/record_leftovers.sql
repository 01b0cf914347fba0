-- The leftovers of a rebuild that are still there.
UPDATE ops.index_rebuilds
SET leftovers = %(leftovers)s::bigint[]::oid[]
WHERE id = %(id)s;
