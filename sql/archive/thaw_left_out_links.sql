-- How many did not come back although both ends are in the database.
SELECT count(*)
FROM {links} AS c
JOIN content_segment_keys AS source ON source.id = c.source_segment_id
JOIN content_segment_keys AS target ON target.id = c.target_segment_id
WHERE NOT EXISTS (SELECT FROM content_links AS live WHERE live.id = c.id);
