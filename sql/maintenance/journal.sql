-- name: begin_rebuild
-- The intent of a rebuild, before REINDEX begins.
INSERT INTO ops.index_rebuilds (
    schema_name, table_name, index_name, definition, file_node, state, foreign_leftovers,
    bytes_before, bytes_estimated, work_bytes, predicted_seconds, run_id, table_oid
) VALUES (
    %(schema)s, %(table_name)s, %(name)s, %(definition)s, %(file_node)s, 'begun',
    %(foreign_leftovers)s::bigint[]::oid[], %(bytes_before)s, %(bytes_estimated)s, %(work_bytes)s,
    %(predicted_seconds)s, %(run_id)s, %(table_oid)s
)
RETURNING id;

-- name: finish_rebuild
-- What became of a rebuild, by the catalog.
UPDATE ops.index_rebuilds
SET
    state = %(state)s,
    leftovers = %(leftovers)s::bigint[]::oid[],
    bytes_after = %(bytes_after)s,
    seconds = coalesce(
        %(seconds)s, extract(epoch FROM clock_timestamp() - started_at)::float8
    ),
    waited_seconds = %(waited_seconds)s,
    quiet_canary_ms = %(quiet_canary_ms)s,
    worst_canary_ms = %(worst_canary_ms)s,
    finished_at = clock_timestamp(),
    error = %(error)s
WHERE id = %(id)s;

-- name: record_leftovers
-- The leftovers of a rebuild that are still there.
UPDATE ops.index_rebuilds
SET leftovers = %(leftovers)s::bigint[]::oid[]
WHERE id = %(id)s;

-- name: drop_leftover
-- SHARE UPDATE EXCLUSIVE on the table, and a wait for the transactions that use it. Outside a
-- transaction only.
DROP INDEX CONCURRENTLY IF EXISTS {index};

-- name: unfinished_rebuilds
-- Rebuilds that nobody finished, and those whose leftovers are not known to be gone; oldest first.
SELECT
    id,
    schema_name AS schema,
    table_name,
    table_oid::bigint AS table_oid,
    index_name AS name,
    definition,
    file_node,
    state,
    foreign_leftovers::bigint[] AS foreign_leftovers,
    leftovers::bigint[] AS leftovers
FROM ops.index_rebuilds
WHERE state = 'begun' OR leftovers <> '{}'
ORDER BY id;

-- name: record_truth
-- What a rebuild made of an index, beside what had been estimated for it.
UPDATE ops.index_estimates
SET rebuilt_bytes = %(bytes)s, rebuilt_at = clock_timestamp()
WHERE schema_name = %(schema)s
  AND index_name = %(name)s
  AND file_node = %(file_node)s;
