-- What belongs to segments that no newer generation holds. Hash anti-join of two scratch tables.
INSERT INTO {tags} ({columns})
SELECT {part_columns}
FROM {part_tags} AS c
WHERE NOT EXISTS (SELECT FROM {segments} AS newer WHERE newer.id = c.content_segment_id);
