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
