-- One index's newest estimate. The smallest size of a row that was ever seen is kept.
INSERT INTO ops.index_estimates AS known (
    schema_name, index_name, file_node, method, is_certain, bytes, rows, estimated_bytes,
    least_bytes_per_row, problem
) VALUES (
    %(schema)s, %(name)s, %(file_node)s, %(method)s, %(is_certain)s, %(bytes)s, %(rows)s,
    %(estimated_bytes)s, %(bytes_per_row)s, %(problem)s
)
ON CONFLICT (schema_name, index_name, file_node) DO UPDATE
SET
    method = excluded.method,
    is_certain = excluded.is_certain,
    bytes = excluded.bytes,
    rows = excluded.rows,
    estimated_bytes = excluded.estimated_bytes,
    least_bytes_per_row = least(known.least_bytes_per_row, excluded.least_bytes_per_row),
    problem = excluded.problem,
    estimated_at = now();
