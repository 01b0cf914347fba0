-- Each user's sum, added up anew. Writes nothing unless a sum and its months disagree.
INSERT INTO ops.storage_users AS s (user_id, segments, bytes)
SELECT r.user_id, r.segments, r.bytes
FROM (
    SELECT user_id, sum(segments)::bigint AS segments, sum(bytes)::bigint AS bytes
    FROM ops.storage_rollup
    GROUP BY user_id
) AS r
LEFT JOIN ops.storage_users AS old ON old.user_id = r.user_id
WHERE (old.segments, old.bytes) IS DISTINCT FROM (r.segments, r.bytes)
ON CONFLICT (user_id) DO UPDATE SET segments = excluded.segments, bytes = excluded.bytes;
