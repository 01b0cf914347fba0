-- What was estimated for indexes as they are stored now: a row an index.
SELECT
    schema_name AS schema, index_name AS name, file_node, method, is_certain, bytes, rows,
    estimated_bytes, least_bytes_per_row
FROM ops.index_estimates
WHERE rebuilt_at IS NULL;
