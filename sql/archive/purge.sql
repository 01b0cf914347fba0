-- name: next_batch
-- The first and the last id of the next batch of proven segments, and how many it has; no row behind the last
-- batch. Reads one batch of an index; a table of the operations' own.
SELECT b.ids[1], b.ids[cardinality(b.ids)], cardinality(b.ids)
FROM (
    SELECT array_agg(n.segment_id ORDER BY n.segment_id) AS ids
    FROM (
        SELECT u.segment_id
        FROM {units} AS u
        WHERE {behind}
        ORDER BY u.segment_id
        LIMIT {rows}
    ) AS n
) AS b
WHERE b.ids IS NOT NULL;

-- name: compare_batch
-- Of the proven segments of a batch that are there: which may go, and which stay. One may go when it
-- is what was proven, with all that belongs to it alone, and nothing else holds to it. Each list is the
-- text of an array, in order: nobody but the next statement reads it. Index probes for each segment and
-- its rows. ACCESS SHARE.
WITH batch AS MATERIALIZED (
    SELECT
        s.id,
        s.created_at,
        s.thread_id,
        s.sequence_number,
        u.rows,
        u.low,
        u.high,
        hashtextextended(r.line, 0) AS own_low,
        hashtextextended(r.line, 1) AS own_high
    FROM {units} AS u
    JOIN {segments} AS s ON s.id = u.segment_id
    CROSS JOIN LATERAL (SELECT (ROW({columns})::text) COLLATE "C" AS line OFFSET 0) AS r
    WHERE {in_batch}
),

now AS (
    SELECT segment_id, count(*) AS rows, bit_xor(low) AS low, bit_xor(high) AS high
    FROM (
        SELECT 0::smallint AS table_no, b.id AS segment_id, b.own_low AS low, b.own_high AS high
        FROM batch AS b
        {belongings}
    ) AS found
    GROUP BY segment_id
),

bound AS MATERIALIZED (
    SELECT NULL::uuid AS segment_id
    WHERE false
    {bound}
),

compared AS MATERIALIZED (
    SELECT
        b.id,
        (now.rows, now.low, now.high) = (b.rows, b.low, b.high)
            AND b.id NOT IN (SELECT segment_id FROM bound) AS may_go
    FROM batch AS b
    JOIN now ON now.segment_id = b.id
)

SELECT
    count(DISTINCT id) FILTER (WHERE may_go) AS free,
    coalesce(array_agg(DISTINCT id) FILTER (WHERE may_go), ARRAY[]::uuid[])::text AS free_ids,
    count(DISTINCT id) FILTER (WHERE may_go IS NOT TRUE) AS stay,
    coalesce(array_agg(DISTINCT id) FILTER (WHERE may_go IS NOT TRUE), ARRAY[]::uuid[])::text AS stay_ids
FROM compared;

-- name: unproven_ends
-- The segments of a batch that reach a shared row which was not proven as it is now. Index probes
-- of the foreign keys for each segment, of the proof's list for each such row. ACCESS SHARE.
SELECT s.id AS segment_id
FROM {rows}
CROSS JOIN LATERAL (SELECT (ROW({columns})::text) COLLATE "C" AS line OFFSET 0) AS r
WHERE NOT EXISTS (
    SELECT
    FROM {proven} AS v
    WHERE v.key = {key}
      AND v.table_no = {number}
      AND v.low = hashtextextended(r.line, 0)
      AND v.high = hashtextextended(r.line, 1)
);

-- name: some_segments
-- A relation: some segments of a month. Index probes by id.
(
    SELECT s.*
    FROM {segments} AS s
    WHERE s.id = ANY ({ids}::uuid[])
);

-- name: absent_segments
-- Proven segments that the month's table does not have, though their keys are there and no tombstone
-- says that they were deleted. Hash joins of the month's rows and keys; ACCESS SHARE.
SELECT count(*), (min(k.id::text))::uuid
FROM {units} AS u
JOIN content_segment_keys AS k
    ON k.id = u.segment_id
   AND k.created_at >= {lower}
   AND k.created_at < {upper}
WHERE NOT EXISTS (SELECT FROM {segments} AS s WHERE s.id = u.segment_id)
  AND NOT EXISTS (
      SELECT FROM ops.erasures AS e WHERE e.kind = 'segment' AND e.id = u.segment_id
  );

-- name: delete_belongings
-- The rows that belong to one segment of a batch each. The keys' cascade would take them, too, but would
-- not notice that somebody has deleted one since the comparison: it would come back from the archive. This
-- fails to serialize then. Row locks on these rows; index probes for each segment.
DELETE FROM {table} AS c
USING {parents}
WHERE {matches};

-- name: batch_ids
-- A relation: the identities of a batch.
(
    SELECT b.id
    FROM unnest({ids}::uuid[]) AS b (id)
);

-- name: batch_keys
-- A relation: the keys of a batch, for foreign keys to other columns than the identity. Index probes.
(
    SELECT k.id, k.created_at, k.thread_id, k.sequence_number
    FROM unnest({ids}::uuid[]) AS b (id)
    JOIN content_segment_keys AS k ON k.id = b.id
);

-- name: delete_keys
-- Row locks on the keys of a batch and on what their cascade takes; the foreign keys' indexes serve
-- it. IS TRUE keeps the planner from reading all keys of the month for each batch. Copied out are what
-- the segments are called.
COPY (
    DELETE FROM content_segment_keys AS k
    USING unnest({ids}::uuid[]) AS batch (id)
    WHERE k.id = batch.id
      AND (k.created_at >= {lower} AND k.created_at < {upper}) IS TRUE
    RETURNING k.id, k.thread_id, k.sequence_number
) TO STDOUT (FORMAT binary);

-- name: reserve_purged
-- That stays taken: one row of the operations' own for each segment. A COPY writes a page of them into the
-- log at once; an INSERT writes each by itself, and ON CONFLICT once more.
COPY ops.purged_segments (id, thread_id, sequence_number) FROM STDIN (FORMAT binary);

-- name: forget_reserved
-- What is reserved although its key is here: whoever wrote the key did so past the triggers. Probes of two
-- indexes for each segment of a batch; row locks on the operations' own rows.
DELETE FROM ops.purged_segments AS p
USING {units} AS u, content_segment_keys AS k
WHERE {in_batch}
  AND k.id = u.segment_id
  AND p.id = u.segment_id;

-- name: derive_units
-- The units of a month whose proof has no list: of the buckets whose digest is still the proven
-- one, and which no run has come by yet.
INSERT INTO {units} (segment_id, bucket, rows, low, high)
SELECT now.segment_id, now.bucket, now.rows, now.low, now.high
FROM ({now}) AS now
WHERE now.bucket = ANY ({buckets})
  AND NOT {done};

-- name: derive_shared_units
-- The shared rows of such a month, of the buckets whose digest is still the proven one.
INSERT INTO {units} (table_no, key, low, high)
SELECT now.table_no, now.key, now.low, now.high
FROM ({now}) AS now
WHERE now.bucket = ANY ({buckets});

-- name: record_purged
-- In the transaction that removed the segments up to this one.
UPDATE ops.archive
SET purged_through = %(through)s
WHERE month = %(month)s
  AND generation = %(generation)s;

-- name: record_kept
-- In the same transaction: the segments of a batch that stay.
INSERT INTO ops.kept_segments (month, generation, thaw, segment_id)
SELECT %(month)s, %(generation)s, %(thaw)s, s.id
FROM unnest(%(segments)s::uuid[]) AS s (id);

-- name: has_kept
-- Whether a removal has kept a segment so far. A look at a table of the operations' own.
SELECT EXISTS (
    SELECT
    FROM ops.kept_segments
    WHERE month = %(month)s
      AND generation IS NOT DISTINCT FROM %(generation)s
      AND thaw IS NOT DISTINCT FROM %(thaw)s
);

-- name: forget_kept
-- In the transaction that ends the removal.
DELETE FROM ops.kept_segments
WHERE month = %(month)s
  AND generation IS NOT DISTINCT FROM %(generation)s
  AND thaw IS NOT DISTINCT FROM %(thaw)s;

-- name: lock_alone
-- ACCESS EXCLUSIVE on a table that stands alone, or for an instant on a month that is about to be
-- detached, until the transaction ends: only under a short lock_timeout.
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;

-- name: lock_parents
-- ACCESS EXCLUSIVE on threads and users until the transaction ends: what the drop of a table takes that references
-- them. First, because who deletes a thread holds its lock while he waits for that table's. Only under a short
-- lock_timeout, and when nothing is left to do that takes time.
LOCK TABLE threads, users IN ACCESS EXCLUSIVE MODE;

-- name: lock_at_once
-- ACCESS EXCLUSIVE on a table that stands alone, or an error: nobody waits for threads while we wait for it.
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE NOWAIT;

-- name: count_rows
-- One scan of a table that stands alone.
SELECT count(*) FROM {table};

-- name: count_copied
-- Rows of one relation, and how many of them a table has by their keys. A hash join of both.
SELECT count(*), count(c.id)
FROM {rows} AS s
LEFT JOIN {copy} AS c ON c.id = s.id AND c.created_at = s.created_at;

-- name: staying_rows
-- A relation: the rows of a table that no recorded removal names. A hash anti-join with the
-- operations' own list of what was proven.
(
    SELECT s.*
    FROM {table} AS s
    WHERE NOT EXISTS (
        SELECT
        FROM {units} AS u
        WHERE u.segment_id = s.id
          AND {done}
          AND NOT EXISTS (
              SELECT
              FROM ops.kept_segments AS k
              WHERE k.segment_id = u.segment_id
                AND k.month = {month}
                AND k.generation IS NOT DISTINCT FROM {generation}
                AND k.thaw IS NOT DISTINCT FROM {thaw}
          )
    )
);

-- name: drop_purged
-- ACCESS EXCLUSIVE on the table, which stands alone, and until the transaction ends on threads and users,
-- which its foreign keys reference: only under a short lock_timeout, and behind all that takes time.
DROP TABLE IF EXISTS {table};

-- name: drop_kept
-- A copy that a dead run left, in the operations' own schema. ACCESS EXCLUSIVE for an instant on
-- threads and users, which its foreign keys reference: only under a short lock_timeout.
DROP TABLE IF EXISTS {kept};

-- name: create_kept
-- A table of its own in the shape that the archive's parent adopts. SHARE ROW EXCLUSIVE on threads
-- and users for an instant, because of the foreign keys: only under a short lock_timeout. By the month's
-- bounds, which each row meets as it comes in, its attach need not read it. Autovacuum, which gives way only to who
-- waits for a second, stays off until it takes the place of its original.
CREATE TABLE {kept} (
    LIKE {parent} INCLUDING ALL,
    CHECK (created_at IS NOT NULL AND created_at >= {lower} AND created_at < {upper}),
    FOREIGN KEY (thread_id) REFERENCES threads (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users (id)
) WITH (autovacuum_enabled = false);

-- name: let_vacuum
-- SHARE UPDATE EXCLUSIVE on a copy that is locked already.
ALTER TABLE {table} RESET (autovacuum_enabled);

-- name: add_check_not_valid
-- A constraint that holds for new rows only. ACCESS EXCLUSIVE on a table that stands alone; nothing
-- is scanned.
ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({definition}) NOT VALID;

-- name: drop_listed
-- A temporary table of the session.
DROP TABLE IF EXISTS pg_temp.rows_to_copy;

-- name: list_rows
-- The keys of the rows to be copied, in order: a temporary table of the session, by one scan of them.
CREATE TEMPORARY TABLE rows_to_copy AS
SELECT s.id, s.created_at, row_number() OVER (ORDER BY s.id, s.created_at) AS number
FROM {rows} AS s;

-- name: index_listed
-- For the batches. The session's own.
CREATE INDEX ON pg_temp.rows_to_copy (number);

-- name: analyze_listed
-- The same.
ANALYZE rows_to_copy;

-- name: count_listed
-- One scan of the session's own table.
SELECT count(*) FROM pg_temp.rows_to_copy;

-- name: copy_kept
-- A batch of the rows that are to be copied, are still there, and have a thread and a user. KEY SHARE locks on these:
-- who deletes one of them waits for the end of this statement, and then takes these rows too; for one that is being
-- deleted already we wait, and pass its rows over. Probes by id.
INSERT INTO {kept} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {values}
FROM pg_temp.rows_to_copy AS listed
JOIN {table} AS c ON c.id = listed.id AND c.created_at = listed.created_at
CROSS JOIN LATERAL (SELECT FROM threads AS t WHERE t.id = c.thread_id FOR KEY SHARE) AS its_thread
CROSS JOIN LATERAL (SELECT FROM users AS u WHERE u.id = c.user_id FOR KEY SHARE) AS its_user
WHERE listed.number > {behind}
  AND listed.number <= {through};

-- name: rows_alone
-- Rows whose thread or user is not there, and one of them. Only asked where such rows are in the way: a hash
-- anti-join with each.
SELECT count(*), (min(s.id::text))::uuid
FROM {rows} AS s
WHERE NOT EXISTS (SELECT FROM threads AS t WHERE t.id = s.thread_id)
   OR NOT EXISTS (SELECT FROM users AS u WHERE u.id = s.user_id);

-- name: derive_removed
-- The segments that earlier runs have removed: of those that the ledger recorded in the transactions
-- that did it, the ones whose keys went. One scan of a table that stands alone.
INSERT INTO {units} (segment_id, bucket, rows, low, high)
SELECT s.id, get_byte(uuid_send(s.id), 15), 0, 0, 0
FROM {table} AS s
WHERE {done}
  AND NOT EXISTS (SELECT FROM content_segment_keys AS k WHERE k.id = s.id);
