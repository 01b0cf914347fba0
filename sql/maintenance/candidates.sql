-- name: rebuild_rate
-- Bytes a second that the last 20 rebuilds worked through, the time left out in which they waited for
-- others; null before the first of which that is known.
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY work_bytes / (seconds - waited_seconds))
FROM (
    SELECT work_bytes, seconds, waited_seconds
    FROM ops.index_rebuilds
    WHERE state = 'rebuilt'
      AND waited_seconds IS NOT NULL
      AND seconds - waited_seconds > 0.05
    ORDER BY finished_at DESC
    LIMIT 20
) AS recent;

-- name: last_rebuilds
-- When each index was last rebuilt, whoever of us did it.
SELECT schema_name, index_name, max(finished_at) AS finished_at
FROM ops.index_rebuilds
WHERE state = 'rebuilt'
GROUP BY schema_name, index_name;
