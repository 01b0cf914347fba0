-- name: digest_rows
-- Rows and digest, by the segment's bucket, of a table whose rows belong to one segment each, or of
-- the segments. One scan, or probes of the segments' key; ACCESS SHARE. OFFSET 0 keeps the row's
-- text from being built once for each hash.
SELECT
    get_byte(uuid_send(s.id), 15) AS bucket,
    count(*) AS rows,
    sum(hashtextextended(r.line, 0)::numeric) AS low,
    sum(hashtextextended(r.line, 1)::numeric) AS high
FROM {rows}
CROSS JOIN LATERAL (SELECT (ROW({columns})::text) COLLATE "C" AS line OFFSET 0) AS r
GROUP BY bucket;

-- name: digest_shared_rows
-- The same of a table whose rows belong to several segments: each counts in the lowest bucket of
-- its segments in this month. Probes of the foreign keys' indexes for each segment, or hash joins.
SELECT
    touched.bucket,
    count(*) AS rows,
    sum(hashtextextended(r.line, 0)::numeric) AS low,
    sum(hashtextextended(r.line, 1)::numeric) AS high
FROM (
    SELECT {keys}, min(get_byte(uuid_send(ends.segment_id), 15)) AS bucket
    FROM ({ends}) AS ends
    GROUP BY {keys}
) AS touched
JOIN {rows} AS c ON {matches}
CROSS JOIN LATERAL (SELECT (ROW({columns})::text) COLLATE "C" AS line OFFSET 0) AS r
GROUP BY touched.bucket;

-- name: hashed_rows
-- A query: each row's two hashes, with its segment.
SELECT
    {number}::smallint AS table_no,
    s.id AS segment_id,
    hashtextextended(r.line, 0) AS low,
    hashtextextended(r.line, 1) AS high
FROM {rows}
CROSS JOIN LATERAL (SELECT (ROW({columns})::text) COLLATE "C" AS line OFFSET 0) AS r;

-- name: hashed_shared_rows
-- A query: each shared row's key and two hashes, with the lowest of its segments' buckets.
SELECT
    {number}::smallint AS table_no,
    {key} AS key,
    touched.bucket,
    hashtextextended(r.line, 0) AS low,
    hashtextextended(r.line, 1) AS high
FROM (
    SELECT {keys}, min(get_byte(uuid_send(ends.segment_id), 15))::smallint AS bucket
    FROM ({ends}) AS ends
    GROUP BY {keys}
) AS touched
JOIN {rows} AS c ON {matches}
CROSS JOIN LATERAL (SELECT (ROW({columns})::text) COLLATE "C" AS line OFFSET 0) AS r;

-- name: create_hashes
-- Hashes of rows by their segment, without WAL: they are computed again.
CREATE UNLOGGED TABLE {hashes} (
    table_no smallint NOT NULL,
    segment_id uuid NOT NULL,
    low bigint NOT NULL,
    high bigint NOT NULL
) WITH (autovacuum_enabled = false);

-- name: create_shared_hashes
-- Hashes of shared rows by their key, without WAL: they are computed again.
CREATE UNLOGGED TABLE {hashes} (
    table_no smallint NOT NULL,
    key text NOT NULL,
    bucket smallint NOT NULL,
    low bigint NOT NULL,
    high bigint NOT NULL
) WITH (autovacuum_enabled = false);

-- name: digest_hashes
-- The digests of all tables, from the hashes of their rows. One scan each of two scratch tables.
SELECT
    table_no,
    get_byte(uuid_send(segment_id), 15) AS bucket,
    count(*) AS rows,
    sum(low::numeric) AS low,
    sum(high::numeric) AS high
FROM {hashes}
GROUP BY table_no, bucket
UNION ALL
SELECT table_no, bucket, count(*), sum(low::numeric), sum(high::numeric)
FROM {shared}
GROUP BY table_no, bucket;

-- name: units
-- A query: of each segment, with all that belongs to it alone, how many rows that are and their
-- hashes in one. A row has its key in it, so no two are equal and cancel each other out.
SELECT
    segment_id,
    get_byte(uuid_send(segment_id), 15)::smallint AS bucket,
    count(*)::integer AS rows,
    bit_xor(low) AS low,
    bit_xor(high) AS high
FROM {hashes}
GROUP BY segment_id;

-- name: create_units
-- The units that a removal may take; filled from a proof's list, which is read again after a crash.
CREATE UNLOGGED TABLE {units} (
    segment_id uuid NOT NULL,
    bucket smallint NOT NULL,
    rows integer NOT NULL,
    low bigint NOT NULL,
    high bigint NOT NULL
) WITH (autovacuum_enabled = false);

-- name: create_shared_units
-- The shared rows that a removal may take along.
CREATE UNLOGGED TABLE {units} (
    table_no smallint NOT NULL,
    key text NOT NULL,
    low bigint NOT NULL,
    high bigint NOT NULL,
    waited_for date
) WITH (autovacuum_enabled = false);

-- name: index_units
-- Lets each batch read its ids only. A table of the operations' own.
CREATE INDEX IF NOT EXISTS {index} ON {units} (segment_id);

-- name: index_shared_units
-- A batch asks for the rows that its segments reach. A table of the operations' own.
CREATE INDEX IF NOT EXISTS {index} ON {units} (key);

-- name: analyze_units
-- Without statistics a batch is planned as a scan. A table of the operations' own.
ANALYZE {units};

-- name: count_units_elsewhere
-- Units of one list that are not in another with the same hashes. Two scratch tables, one hash join.
SELECT count(*)
FROM {mine} AS m
WHERE NOT EXISTS (
    SELECT
    FROM {theirs} AS t
    WHERE t.segment_id = m.segment_id
      AND t.rows = m.rows
      AND t.low = m.low
      AND t.high = m.high
);

-- name: drop_units
-- A table of the operations' own, which only this month's run uses.
DROP TABLE IF EXISTS {units};

-- name: units_with_identity
-- The list of proven segments with what each is called; one hash join of scratch tables.
SELECT {identity}
FROM {units} AS u
JOIN {segments} AS s ON s.id = u.segment_id
ORDER BY u.segment_id;
