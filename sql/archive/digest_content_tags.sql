-- Rows and digest of the tags of a month's segments, by the segment's bucket. ACCESS SHARE;
-- one probe of the segments' key a tag, or one hash join.
SELECT
    get_byte(uuid_send(s.id), 15) AS bucket,
    count(*) AS rows,
    sum(hashtextextended(r.line, 0)::numeric) AS low,
    sum(hashtextextended(r.line, 1)::numeric) AS high
FROM {tags} AS c
JOIN {segments} AS s ON s.id = c.content_segment_id
CROSS JOIN LATERAL (SELECT (ROW({columns})::text) COLLATE "C" AS line OFFSET 0) AS r
GROUP BY bucket;
