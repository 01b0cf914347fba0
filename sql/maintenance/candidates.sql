-- name: rebuild_rate
-- Bytes a second that the last 20 rebuilds worked through; null before the first one.
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY work_bytes / seconds)
FROM (
    SELECT work_bytes, seconds
    FROM ops.index_rebuilds
    WHERE state = 'rebuilt' AND seconds > 0
    ORDER BY finished_at DESC
    LIMIT 20
) AS recent;

-- name: last_rebuilds
-- When each index was last rebuilt, whoever of us did it.
SELECT schema_name, index_name, max(finished_at) AS finished_at
FROM ops.index_rebuilds
WHERE state = 'rebuilt'
GROUP BY schema_name, index_name;
