-- Each user's sum over all months, moved by what the rollup moved.
INSERT INTO ops.storage_users AS s (user_id, segments, bytes)
SELECT
    user_id,
    sum(coalesce(segments, 0) - coalesce(old_segments, 0)),
    sum(coalesce(bytes, 0) - coalesce(old_bytes, 0))
FROM pg_temp.storage_differences
GROUP BY user_id
ON CONFLICT (user_id) DO UPDATE SET
    segments = s.segments + excluded.segments,
    bytes = s.bytes + excluded.bytes;
