-- The intent of a rebuild, before REINDEX begins.
INSERT INTO ops.index_rebuilds (
    schema_name, table_name, index_name, definition, file_node, state, foreign_leftovers,
    bytes_before, bytes_estimated, work_bytes, predicted_seconds, run_id
) VALUES (
    %(schema)s, %(table_name)s, %(name)s, %(definition)s, %(file_node)s, 'begun',
    %(foreign_leftovers)s::bigint[]::oid[], %(bytes_before)s, %(bytes_estimated)s, %(work_bytes)s,
    %(predicted_seconds)s, %(run_id)s
)
RETURNING id;
