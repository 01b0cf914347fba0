-- Rows and digest of every link that touches a month's segments. A link between two of them
-- counts in the lower bucket: a purge goes by ascending bucket, and the first end that goes
-- takes the link along. ACCESS SHARE; two probes of the links' indexes a segment, or hash joins.
SELECT
    touched.bucket,
    count(*) AS rows,
    sum(hashtextextended(r.line, 0)::numeric) AS low,
    sum(hashtextextended(r.line, 1)::numeric) AS high
FROM (
    SELECT ends.id, min(ends.bucket) AS bucket
    FROM (
        SELECT c.id, get_byte(uuid_send(s.id), 15) AS bucket
        FROM {segments} AS s
        JOIN {links} AS c ON c.source_segment_id = s.id
        UNION ALL
        SELECT c.id, get_byte(uuid_send(s.id), 15) AS bucket
        FROM {segments} AS s
        JOIN {links} AS c ON c.target_segment_id = s.id
    ) AS ends
    GROUP BY ends.id
) AS touched
JOIN {links} AS c ON c.id = touched.id
CROSS JOIN LATERAL (SELECT (ROW({columns})::text) COLLATE "C" AS line OFFSET 0) AS r
GROUP BY touched.bucket;
