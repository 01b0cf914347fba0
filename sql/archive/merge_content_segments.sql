-- Segments that no newer generation holds. Hash anti-join of two scratch tables.
INSERT INTO {segments} ({columns})
SELECT {part_columns}
FROM {part_segments} AS c
WHERE NOT EXISTS (SELECT FROM {segments} AS newer WHERE newer.id = c.id);
