-- Segments by bucket, ascending. A scan of the session's own table.
SELECT bucket, count(*)
FROM purge_ids
GROUP BY bucket
ORDER BY bucket;
