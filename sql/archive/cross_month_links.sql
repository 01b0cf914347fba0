-- name: departing_links
-- The links of a batch whose other end lies in another month, by that month and the bucket of that
-- end. Index probes of links and keys for each segment of the batch. ACCESS SHARE.
SELECT
    date_trunc('month', k.created_at AT TIME ZONE 'UTC')::date AS month,
    get_byte(uuid_send(k.id), 15) AS bucket,
    count(*) AS rows,
    sum(hashtextextended(r.line, 0)::numeric) AS low,
    sum(hashtextextended(r.line, 1)::numeric) AS high
FROM (
    SELECT c.id, c.target_segment_id AS other
    FROM {segments} AS s
    JOIN {links} AS c ON c.source_segment_id = s.id
    UNION ALL
    SELECT c.id, c.source_segment_id
    FROM {segments} AS s
    JOIN {links} AS c ON c.target_segment_id = s.id
) AS ends
JOIN content_segment_keys AS k ON k.id = ends.other
JOIN {links} AS c ON c.id = ends.id
CROSS JOIN LATERAL (SELECT (ROW({columns})::text) COLLATE "C" AS line OFFSET 0) AS r
WHERE k.created_at < %(lower)s
   OR k.created_at >= %(upper)s
GROUP BY month, bucket
ORDER BY month, bucket;

-- name: proven_in_database
-- The generation of a month that is proven and still in the database, locked against a purge at
-- work on it. One row or none.
SELECT generation, departed_links
FROM ops.archive
WHERE month = %(month)s
  AND state IN ('proven', 'freezing', 'frozen', 'purging')
FOR UPDATE;

-- name: record_departed_links
-- One row, in the transaction that removes the links.
UPDATE ops.archive
SET departed_links = %(departed)s
WHERE month = %(month)s
  AND generation = %(generation)s;
