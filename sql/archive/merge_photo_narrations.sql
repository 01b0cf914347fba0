-- What belongs to segments that no newer generation holds. Hash anti-join of two scratch tables.
INSERT INTO {narrations} ({columns})
SELECT {part_columns}
FROM {part_narrations} AS c
WHERE NOT EXISTS (SELECT FROM {segments} AS newer WHERE newer.id = c.content_segment_id);
