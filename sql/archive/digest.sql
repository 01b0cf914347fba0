-- name: pages
-- How many pages a table has. A look at its file's size; ACCESS SHARE for that moment.
SELECT pg_relation_size(%(table)s::regclass) / current_setting('block_size')::integer AS pages;

-- name: segments_of_pages
-- A relation: the segments that lie in a run of a table's pages. Reads these pages alone.
(
    SELECT *
    FROM {segments}
    WHERE ctid >= {lower}::tid
      AND ctid < {upper}::tid
);

-- name: digest_content_links
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

-- name: digest_content_segments
-- Rows and digest of a month's segments by bucket. One scan of the relation, ACCESS SHARE.
-- OFFSET 0 keeps the row's text from being built once for each hash.
SELECT
    get_byte(uuid_send(s.id), 15) AS bucket,
    count(*) AS rows,
    sum(hashtextextended(r.line, 0)::numeric) AS low,
    sum(hashtextextended(r.line, 1)::numeric) AS high
FROM {segments} AS s
CROSS JOIN LATERAL (SELECT (ROW({columns})::text) COLLATE "C" AS line OFFSET 0) AS r
GROUP BY bucket;

-- name: digest_content_tags
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

-- name: digest_photo_narrations
-- Rows and digest of the narrations of a month's segments, by the segment's bucket. ACCESS SHARE;
-- one probe of the segments' key a narration, or one hash join.
SELECT
    get_byte(uuid_send(s.id), 15) AS bucket,
    count(*) AS rows,
    sum(hashtextextended(r.line, 0)::numeric) AS low,
    sum(hashtextextended(r.line, 1)::numeric) AS high
FROM {narrations} AS c
JOIN {segments} AS s ON s.id = c.content_segment_id
CROSS JOIN LATERAL (SELECT (ROW({columns})::text) COLLATE "C" AS line OFFSET 0) AS r
GROUP BY bucket;
