-- name: create_merged
-- A table of today's columns and their defaults, without WAL: what is loaded here is a copy.
CREATE UNLOGGED TABLE {scratch} (LIKE {table} INCLUDING DEFAULTS);

-- name: merge_content_links
-- Links neither of whose ends a newer generation holds: one that does knows whether the link is
-- still there. Hash anti-joins of scratch tables.
INSERT INTO {links} ({columns})
SELECT {part_columns}
FROM {part_links} AS c
WHERE NOT EXISTS (SELECT FROM {segments} AS newer WHERE newer.id = c.source_segment_id)
  AND NOT EXISTS (SELECT FROM {segments} AS newer WHERE newer.id = c.target_segment_id);

-- name: merge_content_segments
-- Segments that no newer generation holds. Hash anti-join of two scratch tables.
INSERT INTO {segments} ({columns})
SELECT {part_columns}
FROM {part_segments} AS c
WHERE NOT EXISTS (SELECT FROM {segments} AS newer WHERE newer.id = c.id);

-- name: merge_content_tags
-- What belongs to segments that no newer generation holds. Hash anti-join of two scratch tables.
INSERT INTO {tags} ({columns})
SELECT {part_columns}
FROM {part_tags} AS c
WHERE NOT EXISTS (SELECT FROM {segments} AS newer WHERE newer.id = c.content_segment_id);

-- name: merge_photo_narrations
-- What belongs to segments that no newer generation holds. Hash anti-join of two scratch tables.
INSERT INTO {narrations} ({columns})
SELECT {part_columns}
FROM {part_narrations} AS c
WHERE NOT EXISTS (SELECT FROM {segments} AS newer WHERE newer.id = c.content_segment_id);
