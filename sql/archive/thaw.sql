-- name: drop_empty
-- A table that a dead run created and never filled; ACCESS EXCLUSIVE for an instant on the tables
-- that its foreign keys reference.
DROP TABLE {archived};

-- name: create_thawed
-- A table of its own in the shape that the archive's parent adopts. SHARE ROW EXCLUSIVE on threads
-- and users for an instant, because of the foreign keys: only under a short lock_timeout. By the month's
-- bounds, which each row meets as it comes in, its attach need not read it.
CREATE TABLE {archived} (
    LIKE {parent} INCLUDING ALL,
    CHECK (created_at IS NOT NULL AND created_at >= {lower} AND created_at < {upper}),
    FOREIGN KEY (thread_id) REFERENCES threads (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users (id)
);

-- name: thaw_verdicts
-- Which segments may come back, and why others may not. Probes of threads, users, tombstones and
-- keys for each row, or hash joins. Its own transaction's temporary table.
CREATE TEMPORARY TABLE thaw_verdicts ON COMMIT DROP AS
SELECT
    s.id,
    CASE
        WHEN {family}::uuid IS NOT NULL AND mb.family_id IS DISTINCT FROM {family}
            THEN 'of other families'
        WHEN t.id IS NULL OR erased_thread.id IS NOT NULL THEN 'thread erased'
        WHEN u.id IS NULL OR erased_user.id IS NOT NULL THEN 'author erased'
        WHEN erased.id IS NOT NULL THEN 'segment erased'
        WHEN live.id IS NOT NULL THEN 'in the database already'
        WHEN taken.id IS NOT NULL THEN 'sequence number taken by a newer segment'
        WHEN NOT {references} THEN 'what they refer to is gone'
        WHEN s.id = ANY ({incomplete}::uuid[])
            THEN 'something that belongs to them can not come back'
        ELSE {violation}
    END AS left_out
FROM {segments} AS s
LEFT JOIN threads AS t ON t.id = s.thread_id
LEFT JOIN memory_books AS mb ON mb.id = t.memory_book_id
LEFT JOIN users AS u ON u.id = s.user_id
LEFT JOIN ops.erasures AS erased_thread
    ON erased_thread.kind = 'thread'
   AND erased_thread.id = s.thread_id
   AND (NOT erased_thread.used_again OR s.created_at < erased_thread.erased_at)
LEFT JOIN ops.erasures AS erased_user
    ON erased_user.kind = 'user'
   AND erased_user.id = s.user_id
   AND (NOT erased_user.used_again OR s.created_at < erased_user.erased_at)
LEFT JOIN ops.erasures AS erased
    ON erased.kind = 'segment'
   AND erased.id = s.id
   AND (NOT erased.used_again OR s.created_at < erased.erased_at)
LEFT JOIN content_segment_keys AS live ON live.id = s.id
LEFT JOIN content_segment_keys AS taken
    ON taken.thread_id = s.thread_id AND taken.sequence_number = s.sequence_number;

-- name: thaw_left_out
-- Segments that stay out, by reason.
SELECT left_out, count(*)
FROM thaw_verdicts
WHERE left_out IS NOT NULL
GROUP BY left_out
ORDER BY left_out;

-- name: thaw_identities
-- What comes back takes its id and number itself. Row locks on the operations' own rows.
DELETE FROM ops.purged_segments AS p
USING thaw_verdicts AS v
WHERE v.id = p.id
  AND v.left_out IS NULL;

-- name: thaw_segments
-- Into a table that stands alone, or into the month's own. Its foreign keys take KEY SHARE locks on
-- threads and users: who erases one of them waits for this transaction, or this one for him.
INSERT INTO {archived} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {values}
FROM {segments} AS s
JOIN thaw_verdicts AS v ON v.id = s.id AND v.left_out IS NULL
{conflict};

-- name: thaw_refused_segments
-- Those that a UNIQUE constraint of today keeps out, by id: what they are called stays taken. A hash
-- anti-join with what has come back.
WITH refused AS (
    UPDATE thaw_verdicts AS v
    SET left_out = 'another row has their values'
    WHERE v.left_out IS NULL
      AND NOT EXISTS (SELECT FROM {archived} AS came WHERE came.id = v.id)
    RETURNING v.id
),

kept AS (
    INSERT INTO ops.purged_segments (id, thread_id, sequence_number)
    SELECT s.id, s.thread_id, s.sequence_number
    FROM {segments} AS s
    JOIN refused ON refused.id = s.id
    ON CONFLICT (id) DO NOTHING
)

SELECT id FROM refused ORDER BY id;

-- name: check_now
-- Whatever was deferred to the end of this transaction is checked here, where it can be explained.
SET CONSTRAINTS ALL IMMEDIATE;

-- name: thaw_keys
-- No trigger registers the rows of a table that stands alone.
INSERT INTO content_segment_keys (id, created_at, thread_id, sequence_number)
SELECT s.id, s.created_at, s.thread_id, s.sequence_number
FROM {archived} AS s
JOIN thaw_verdicts AS v ON v.id = s.id AND v.left_out IS NULL;

-- name: thaw_rows
-- What belongs to the segments that came back. Row locks on new rows only.
INSERT INTO {live} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {values}
FROM {rows}
JOIN thaw_verdicts AS v ON v.id = s.id AND v.left_out IS NULL
WHERE {references}
  AND {violation} IS NULL
{conflict};

-- name: thaw_left_out_rows
-- Which of them did not come back, by reason; and their segments, where it is for no reason that would
-- have deleted them.
SELECT found.reason, count(*), array_agg(DISTINCT found.id) FILTER (WHERE NOT found.is_gone)
FROM (
    SELECT
        s.id,
        NOT {references} AS is_gone,
        CASE
            WHEN NOT {references}
                THEN 'whoever made them, or what they belong to, is gone'
            ELSE coalesce({violation}, 'another row has their key')
        END AS reason
    FROM {rows}
    JOIN thaw_verdicts AS v ON v.id = s.id AND v.left_out IS NULL
    WHERE NOT EXISTS (SELECT FROM {live} AS live WHERE {matches})
) AS found
GROUP BY found.reason
ORDER BY found.reason;

-- name: came_back_with
-- A relation: by key, the shared rows that a segment reaches which came back. Of one that is in the database
-- those that are not: it has them, but after a recovery to a moment before they were made.
(
    SELECT DISTINCT {keys}
    FROM ({ends}) AS ends
    JOIN thaw_verdicts AS v ON v.id = ends.segment_id
    WHERE v.left_out IS NULL
       OR v.left_out = 'in the database already'
      AND NOT EXISTS (SELECT FROM {live} AS live WHERE {lives})
);

-- name: wait_for_ends
-- Shared rows of the segments that came back wait until all of their ends are in the database: most of
-- them for an instant. Those that were deleted, or one of whose ends was, never come back. Hash joins
-- of scratch tables; probes of tombstones.
INSERT INTO ops.waiting_rows (table_name, key, thawed_month, as_of, sequence, row)
SELECT
    {table},
    {key},
    {month},
    c.{as_of},
    c.{sequence},
    {kept}
FROM {touched} AS touched
JOIN {rows} AS c ON {matches}
WHERE {references}
  AND {violation} IS NULL
  AND NOT {deleted}
  AND NOT {ends_deleted}
ON CONFLICT (table_name, key, thawed_month) DO UPDATE
SET as_of = excluded.as_of, sequence = excluded.sequence, row = excluded.row;

-- name: thaw_left_out_shared
-- How many of them did not come back although nothing is missing, by reason.
SELECT found.reason, count(*)
FROM (
    SELECT
        CASE
            WHEN {deleted} THEN 'deleted meanwhile'
            WHEN NOT {references}
                THEN 'whoever made them, or what they belong to, is gone'
            ELSE {violation}
        END AS reason
    FROM {touched} AS touched
    JOIN {rows} AS c ON {matches}
) AS found
WHERE found.reason IS NOT NULL
GROUP BY found.reason
ORDER BY found.reason;

-- name: find_arrivals
-- The waiting rows of a table all of whose ends are in the database now, each in its newest version; in
-- its own transaction's temporary table. Reads what waits: links between months.
CREATE TEMPORARY TABLE thaw_arrivals ON COMMIT DROP AS
SELECT DISTINCT ON (w.key) w.key, w.row
FROM ops.waiting_rows AS w
CROSS JOIN LATERAL (SELECT {waiting}) AS c
WHERE w.table_name IN (SELECT ops.names_of({table}))
  AND {ends_live}
  AND {references}
  AND NOT {deleted}
ORDER BY w.key, w.sequence DESC NULLS LAST, w.as_of DESC;

-- name: drop_arrivals
-- This transaction's own.
DROP TABLE IF EXISTS pg_temp.thaw_arrivals;

-- name: thaw_arrivals
-- Row locks on new rows only.
INSERT INTO {live} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {values}
FROM thaw_arrivals AS w
CROSS JOIN LATERAL (SELECT {waiting}) AS c
{conflict};

-- name: deferred_uniques
-- Those of some tables that have a DEFERRABLE UNIQUE or EXCLUDE constraint: ON CONFLICT knows no such.
-- Catalog reads only.
SELECT DISTINCT con.conrelid
FROM pg_constraint AS con
WHERE con.conrelid = ANY (%(tables)s::oid[])
  AND con.contype IN ('p', 'u', 'x')
  AND con.condeferrable;

-- name: thaw_conflicts
-- How many of them have not come back although nothing is missing: their archive still has them. Probes
-- of the key for each.
SELECT 'another row has their key', count(*), array_agg(w.key ORDER BY w.key)
FROM thaw_arrivals AS w
CROSS JOIN LATERAL (SELECT {waiting}) AS c
WHERE NOT EXISTS (SELECT FROM {live} AS live WHERE {matches})
HAVING count(*) > 0;

-- name: thaw_units
-- What has come back, segment by segment, for the removal that ends the thaw. As large as the units
-- of the month's proof.
CREATE TABLE {units} AS
SELECT u.segment_id, u.bucket, u.rows, u.low, u.high
FROM ({now}) AS u
JOIN thaw_verdicts AS v ON v.id = u.segment_id AND v.left_out IS NULL
ORDER BY u.segment_id;

-- name: create_thaw_shared
-- Which shared rows that removal may take along, and on behalf of which month a row waited that is
-- not in this one's archive.
CREATE TABLE {units} (
    table_no smallint NOT NULL,
    key text NOT NULL,
    low bigint NOT NULL,
    high bigint NOT NULL,
    waited_for date
);

-- name: thaw_shared_arrivals
-- Rows that are in the database now, as they are there. Whether this month's archive holds one is told
-- by what waited for it.
INSERT INTO {units} (table_no, key, low, high, waited_for)
SELECT
    now.table_no,
    now.key,
    now.low,
    now.high,
    (
        SELECT min(w.thawed_month)
        FROM ops.waiting_rows AS w
        WHERE w.table_name IN (SELECT ops.names_of({table}))
          AND w.key = now.key
        HAVING bool_and(w.thawed_month <> {month})
    )
FROM ({now}) AS now;

-- name: thaw_shared_waiting
-- Rows of this month's archive that still wait, as they will be.
INSERT INTO {units} (table_no, key, low, high)
SELECT
    {number},
    w.key,
    hashtextextended(r.line, 0),
    hashtextextended(r.line, 1)
FROM ops.waiting_rows AS w
CROSS JOIN LATERAL (SELECT {waiting}) AS c
CROSS JOIN LATERAL (SELECT (ROW({columns})::text) COLLATE "C" AS line OFFSET 0) AS r
WHERE w.table_name IN (SELECT ops.names_of({table}))
  AND w.thawed_month = {month}
  AND NOT EXISTS (SELECT FROM thaw_arrivals AS a WHERE a.key = w.key);

-- name: share_with_neighbour
-- A row that has come back belongs to another thawed month as well, whose removal may take it along:
-- it is in this month's archive, and waits for this month then.
INSERT INTO {units} (table_no, key, low, high, waited_for)
SELECT now.table_no, now.key, now.low, now.high, {month}
FROM ({now}) AS now
JOIN thaw_arrivals AS a ON a.key = now.key
WHERE NOT EXISTS (
    SELECT FROM {units} AS known WHERE known.table_no = now.table_no AND known.key = now.key
);

-- name: forget_arrivals
-- They wait no more, for whatever month.
DELETE FROM ops.waiting_rows AS w
USING thaw_arrivals AS a
WHERE w.table_name IN (SELECT ops.names_of({table}))
  AND w.key = a.key;

-- name: forget_waiting
-- What only a month which leaves again has brought: its archive holds it.
DELETE FROM ops.waiting_rows
WHERE thawed_month = %(month)s;

-- name: wait_again
-- In the transaction that removes some segments: rows that go with them and are not in this month's
-- archive wait again for the month whose archive holds them.
INSERT INTO ops.waiting_rows (table_name, key, thawed_month, as_of, sequence, row)
SELECT
    {table},
    u.key,
    u.waited_for,
    clock_timestamp(),
    (SELECT ops.next_archive_sequence()),
    {kept}
FROM (SELECT DISTINCT {keys} FROM ({ends}) AS ends) AS touched
JOIN {rows} AS c ON {matches}
JOIN {units} AS u ON u.key = {key} AND u.table_no = {number}
WHERE u.waited_for IS NOT NULL
ON CONFLICT (table_name, key, thawed_month) DO NOTHING;

-- name: loaded_segments
-- A relation: the segments that have come back in this transaction.
(
    SELECT s.*
    FROM {archived} AS s
    JOIN thaw_verdicts AS v ON v.id = s.id AND v.left_out IS NULL
);

-- name: keys_of_month
-- A relation: the keys of a month that are in the database. A range of
-- idx_content_segment_keys_created.
(
    SELECT k.id, k.created_at, k.thread_id, k.sequence_number
    FROM {keys} AS k
    WHERE k.created_at >= {lower}
      AND k.created_at < {upper}
);

-- name: drop_check
-- A constraint of a new, empty table.
ALTER TABLE {table} DROP CONSTRAINT {name};
