-- How many did not come back although their segment did.
SELECT count(*)
FROM {tags} AS c
JOIN {archived} AS s ON s.id = c.content_segment_id
WHERE NOT EXISTS (SELECT FROM content_tags AS live WHERE live.id = c.id);
