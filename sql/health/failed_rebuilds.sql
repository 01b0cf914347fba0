-- Rebuilds of indexes that failed since a moment, the newest first.
SELECT r.index_name, r.error
FROM ops.index_rebuilds AS r
WHERE r.state = 'failed'
  AND r.finished_at >= %(since)s
ORDER BY r.finished_at DESC;
