-- Links neither of whose ends a newer generation holds: one that does knows whether the link is
-- still there. Hash anti-joins of scratch tables.
INSERT INTO {links} ({columns})
SELECT {part_columns}
FROM {part_links} AS c
WHERE NOT EXISTS (SELECT FROM {segments} AS newer WHERE newer.id = c.source_segment_id)
  AND NOT EXISTS (SELECT FROM {segments} AS newer WHERE newer.id = c.target_segment_id);
