-- How far each user's sum is from its months, where it is. No row unless something was written
-- past the recomputation. Reads the whole rollup.
COPY (
    SELECT
        user_id,
        coalesce(r.segments, 0)::bigint - coalesce(s.segments, 0),
        coalesce(r.bytes, 0)::bigint - coalesce(s.bytes, 0)
    FROM (
        SELECT user_id, sum(segments) AS segments, sum(bytes) AS bytes
        FROM ops.storage_rollup
        GROUP BY user_id
    ) AS r
    FULL JOIN ops.storage_users AS s USING (user_id)
    WHERE (r.segments, r.bytes) IS DISTINCT FROM (s.segments, s.bytes)
) TO STDOUT (FORMAT BINARY);
