-- What belongs to the segments that came back. Row locks on new rows only.
INSERT INTO content_tags
SELECT c.*
FROM {tags} AS c
JOIN {archived} AS s ON s.id = c.content_segment_id
WHERE EXISTS (SELECT FROM users AS u WHERE u.id = c.tagged_by);
