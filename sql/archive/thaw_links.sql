-- Links of the segments that came back whose other end is in the database, in whatever month. A
-- link that another month's archive brought back before is there already.
INSERT INTO content_links
SELECT c.*
FROM {links} AS c
JOIN content_segment_keys AS source ON source.id = c.source_segment_id
JOIN content_segment_keys AS target ON target.id = c.target_segment_id
WHERE EXISTS (SELECT FROM users AS u WHERE u.id = c.created_by)
ON CONFLICT DO NOTHING;
