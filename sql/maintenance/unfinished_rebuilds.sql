-- Rebuilds that nobody finished, and those whose leftovers are not known to be gone; oldest first.
SELECT
    id,
    schema_name AS schema,
    table_name,
    index_name AS name,
    definition,
    file_node,
    state,
    foreign_leftovers::bigint[] AS foreign_leftovers,
    leftovers::bigint[] AS leftovers
FROM ops.index_rebuilds
WHERE state = 'begun' OR leftovers <> '{}'
ORDER BY id;
