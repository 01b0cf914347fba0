-- The estimates of the last 200 rebuilds against what came of them, in points of the size before.
SELECT
    schema_name AS schema,
    index_name AS name,
    method,
    100 * abs(estimated_bytes - rebuilt_bytes)::float8 / bytes AS points
FROM ops.index_estimates
WHERE rebuilt_bytes IS NOT NULL
  AND estimated_bytes IS NOT NULL
  AND bytes > 0
ORDER BY rebuilt_at DESC
LIMIT 200;
