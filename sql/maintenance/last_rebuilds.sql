-- When each index was last rebuilt, whoever of us did it.
SELECT schema_name, index_name, max(finished_at) AS finished_at
FROM ops.index_rebuilds
WHERE state = 'rebuilt'
GROUP BY schema_name, index_name;
