-- name: stage_erasures
-- A temporary table of the session.
CREATE TEMPORARY TABLE IF NOT EXISTS adopted_erasures (LIKE ops.erasures);

-- name: fill_erasures
-- The first tombstone of each that was not withdrawn.
INSERT INTO adopted_erasures (kind, id, month, erased_at, used_again)
SELECT DISTINCT ON (r.kind, r.id) r.kind, r.id, r.month, r.erased_at, coalesce(r.used_again, false)
FROM jsonb_populate_recordset(NULL::ops.erasures, %(records)s) AS r
WHERE NOT EXISTS (
    SELECT
    FROM adopted_withdrawals AS w
    WHERE (w.kind, w.id, w.erased_at) = (r.kind, r.id, r.erased_at)
)
ORDER BY r.kind, r.id, r.erased_at, r.used_again DESC NULLS LAST;

-- name: stage_withdrawals
-- A temporary table of the session.
CREATE TEMPORARY TABLE IF NOT EXISTS adopted_withdrawals (LIKE ops.withdrawn_erasures);

-- name: fill_withdrawals
-- A withdrawal names its tombstone by the moment of the deletion, too.
INSERT INTO adopted_withdrawals
SELECT DISTINCT ON (w.kind, w.id, w.erased_at) w.*
FROM jsonb_populate_recordset(NULL::ops.withdrawn_erasures, %(records)s) AS w;

-- name: stage_rows
-- A temporary table of the session.
CREATE TEMPORARY TABLE IF NOT EXISTS adopted_rows (
    table_name text NOT NULL,
    key text NOT NULL,
    erased_at timestamptz NOT NULL,
    is_erased boolean NOT NULL,
    known timestamptz [] NOT NULL,
    PRIMARY KEY (table_name, key)
);

-- name: fill_rows
-- What happened last to each, and every tombstone of it that the bucket knows. A row whose return is not
-- shipped yet is not erased any more, unless it was erased once more since. Reads what is not shipped.
INSERT INTO adopted_rows (table_name, key, erased_at, is_erased, known)
SELECT
    r.table_name,
    r.key,
    r.erased_at,
    r.is_erased AND NOT EXISTS (
        SELECT
        FROM ops.unshipped_records AS u
        WHERE u.kind = 'returned_row'
          AND (u.record ->> 'table_name', u.record ->> 'key') = (r.table_name, r.key)
          AND (u.record ->> 'erased_at')::timestamptz = r.erased_at
    ),
    r.known
FROM jsonb_to_recordset(%(records)s) AS r (
    table_name text, key text, erased_at timestamptz, is_erased boolean, known timestamptz []
);

-- name: stage_holds
-- A temporary table of the session.
CREATE TEMPORARY TABLE IF NOT EXISTS adopted_holds (LIKE ops.legal_holds);

-- name: fill_holds
-- Each hold in its last state.
INSERT INTO adopted_holds
SELECT *
FROM jsonb_populate_recordset(NULL::ops.legal_holds, %(records)s);

-- name: drop_staged
-- The session's own.
DROP TABLE IF EXISTS adopted_erasures, adopted_withdrawals, adopted_rows, adopted_holds;

-- name: adopt_erasures
-- By their primary key; what is known stays as it is.
INSERT INTO ops.erasures (kind, id, month, erased_at, used_again)
SELECT kind, id, month, erased_at, used_again
FROM adopted_erasures
ON CONFLICT DO NOTHING;

-- name: adopt_withdrawals
-- Withdraws the very tombstones that were withdrawn after this database's moment, and keeps on record
-- by whom and why. Row locks.
WITH gone AS (
    DELETE FROM ops.erasures AS e
    USING adopted_withdrawals AS w
    WHERE (w.kind, w.id, w.erased_at) = (e.kind, e.id, e.erased_at)
)

INSERT INTO ops.withdrawn_erasures
SELECT *
FROM adopted_withdrawals
ON CONFLICT DO NOTHING;

-- name: adopt_erased_rows
-- By their primary key; what is known stays as it is.
INSERT INTO ops.erased_rows (table_name, key, erased_at)
SELECT table_name, key, erased_at
FROM adopted_rows
WHERE is_erased
ON CONFLICT DO NOTHING;

-- name: adopt_returned_rows
-- Tombstones of rows that were inserted again after they had been deleted. Not one that the bucket does
-- not know yet: it is of a later deletion, whatever the clock said.
DELETE FROM ops.erased_rows AS e
USING adopted_rows AS a
WHERE a.table_name = e.table_name
  AND a.key = e.key
  AND NOT a.is_erased
  AND e.erased_at = ANY (a.known);

-- name: living_erased
-- What a tombstone names and the database has. Each by the primary key of its table; reads all
-- tombstones.
SELECT e.kind, e.id, e.month
FROM ops.erasures AS e
WHERE NOT e.used_again
  AND (
      e.kind = 'family' AND EXISTS (SELECT FROM public.families AS f WHERE f.id = e.id)
      OR e.kind = 'book' AND EXISTS (SELECT FROM public.memory_books AS b WHERE b.id = e.id)
      OR e.kind = 'thread' AND EXISTS (SELECT FROM public.threads AS t WHERE t.id = e.id)
      OR e.kind = 'user' AND EXISTS (SELECT FROM public.users AS u WHERE u.id = e.id)
      OR e.kind = 'segment'
          AND EXISTS (SELECT FROM public.content_segment_keys AS k WHERE k.id = e.id)
  )
ORDER BY e.erased_at;

-- name: living_staged
-- The same of what the bucket has, and of what it has not yet. Not of what either side says was
-- withdrawn, or was used again.
SELECT e.kind, e.id, e.month
FROM (
    SELECT kind, id, month, min(erased_at) AS erased_at
    FROM (
        SELECT * FROM ops.erasures UNION ALL SELECT * FROM adopted_erasures
    ) AS known
    WHERE NOT EXISTS (
        SELECT
        FROM (
            SELECT * FROM ops.withdrawn_erasures UNION ALL SELECT * FROM adopted_withdrawals
        ) AS w
        WHERE (w.kind, w.id, w.erased_at) = (known.kind, known.id, known.erased_at)
    )
    GROUP BY kind, id, month
    HAVING NOT bool_or(used_again)
) AS e
WHERE
    e.kind = 'family' AND EXISTS (SELECT FROM public.families AS f WHERE f.id = e.id)
    OR e.kind = 'book' AND EXISTS (SELECT FROM public.memory_books AS b WHERE b.id = e.id)
    OR e.kind = 'thread' AND EXISTS (SELECT FROM public.threads AS t WHERE t.id = e.id)
    OR e.kind = 'user' AND EXISTS (SELECT FROM public.users AS u WHERE u.id = e.id)
    OR e.kind = 'segment'
        AND EXISTS (SELECT FROM public.content_segment_keys AS k WHERE k.id = e.id)
ORDER BY e.erased_at;

-- name: delete_erased
-- As the application deleted it, with what its foreign keys take along.
DELETE FROM {table}
WHERE id = %(id)s;

-- name: delete_erased_segment
-- From whichever of its month's two parents has it; its key goes by their triggers.
WITH archived AS (
    DELETE FROM archived_content_segments
    WHERE id = %(id)s
      AND created_at >= %(month)s::timestamp AT TIME ZONE 'UTC'
      AND created_at < (%(month)s::timestamp + interval '1 month') AT TIME ZONE 'UTC'
)

DELETE FROM content_segments
WHERE id = %(id)s
  AND created_at >= %(month)s::timestamp AT TIME ZONE 'UTC'
  AND created_at < (%(month)s::timestamp + interval '1 month') AT TIME ZONE 'UTC';

-- name: forget_places
-- Tombstones of places where rows are again: they were moved after this database's moment. One scan of
-- the table, in a restored database before anybody else is let in.
DELETE FROM ops.erased_rows AS e
USING {rows} AS c
WHERE e.table_name = {name}
  AND e.key = {place};

-- name: delete_erased_rows
-- One scan of the table, in a restored database before anybody else is let in. Not what a hold is on by now.
DELETE FROM {rows} AS c
USING ops.erased_rows AS e
WHERE e.table_name = {name}
  AND e.key = {key}
  AND ops.hold_on_row({rows_name}::regclass, to_jsonb(c)) IS NULL;

-- name: held_erased_rows
-- One scan of the table.
SELECT e.key, ops.hold_on_row({rows_name}::regclass, to_jsonb(c))
FROM {rows} AS c
JOIN ops.erased_rows AS e ON e.key = {key}
WHERE e.table_name = {name};

-- name: count_erased_rows
-- One scan of the table.
SELECT count(*)
FROM {rows} AS c
JOIN (
    SELECT table_name, key FROM ops.erased_rows
    UNION
    SELECT table_name, key FROM adopted_rows WHERE is_erased
) AS e ON e.key = {key}
WHERE e.table_name = {name};

-- name: released_elsewhere
-- Whether a hold stands here that was released after this database's moment. A few rows.
SELECT count(*)
FROM ops.legal_holds AS h
JOIN adopted_holds AS a
    ON (a.placed_at, a.placed_by, a.reason) = (h.placed_at, h.placed_by, h.reason)
   AND (a.month, a.family_id, a.book_id, a.thread_id, a.user_id)
       IS NOT DISTINCT FROM (h.month, h.family_id, h.book_id, h.thread_id, h.user_id)
WHERE h.released_at IS NULL
  AND a.released_at IS NOT NULL;

-- name: release_adopted
-- Holds that stand here, and were released after this database's moment. It locks as that of
-- archive/release_hold does, even where there is none.
UPDATE ops.legal_holds AS h
SET released_at = a.released_at,
    released_by = a.released_by,
    release_reason = a.release_reason
FROM adopted_holds AS a
WHERE h.released_at IS NULL
  AND a.released_at IS NOT NULL
  AND (h.placed_at, h.placed_by, h.reason) = (a.placed_at, a.placed_by, a.reason)
  AND (h.month, h.family_id, h.book_id, h.thread_id, h.user_id)
      IS NOT DISTINCT FROM (a.month, a.family_id, a.book_id, a.thread_id, a.user_id);

-- name: adopt_holds
-- Under their own numbers, where these are free: two databases may have given the same one. Placing one
-- takes what placing one takes. What the
-- archives have of it this database does not know: they are searched again.
INSERT INTO ops.legal_holds (
    id, month, family_id, book_id, thread_id, user_id, reason, placed_by, placed_at, released_by,
    released_at, release_reason
) OVERRIDING SYSTEM VALUE
SELECT
    CASE
        WHEN EXISTS (SELECT FROM ops.legal_holds AS taken WHERE taken.id = a.id)
            OR row_number() OVER (PARTITION BY a.id ORDER BY a.placed_at) > 1
            THEN
                (SELECT coalesce(max(m.id), 0) FROM ops.legal_holds AS m)
                + (SELECT max(m.id) FROM adopted_holds AS m)
                + row_number() OVER (ORDER BY a.placed_at)
        ELSE a.id
    END,
    a.month, a.family_id, a.book_id, a.thread_id, a.user_id, a.reason, a.placed_by, a.placed_at,
    a.released_by, a.released_at, a.release_reason
FROM adopted_holds AS a
WHERE NOT EXISTS (
    SELECT
    FROM ops.legal_holds AS h
    WHERE (h.placed_at, h.placed_by, h.reason) = (a.placed_at, a.placed_by, a.reason)
      AND (h.month, h.family_id, h.book_id, h.thread_id, h.user_id)
          IS NOT DISTINCT FROM (a.month, a.family_id, a.book_id, a.thread_id, a.user_id)
)
ORDER BY a.placed_at;

-- name: number_holds
-- The next hold's number is beyond those that were adopted.
SELECT setval(pg_get_serial_sequence('ops.legal_holds', 'id'), max(id))
FROM ops.legal_holds;

-- name: ship_again
-- What this database has, and neither the bucket nor the next shipment: reads all of both.
INSERT INTO ops.unshipped_records (kind, record)
SELECT 'erasure', to_jsonb(e)
FROM ops.erasures AS e
WHERE NOT EXISTS (SELECT FROM adopted_erasures AS a WHERE (a.kind, a.id) = (e.kind, e.id))
  AND NOT EXISTS (
      SELECT
      FROM adopted_withdrawals AS w
      WHERE (w.kind, w.id, w.erased_at) = (e.kind, e.id, e.erased_at)
  )
  AND NOT EXISTS (
      SELECT
      FROM ops.unshipped_records AS u
      WHERE u.kind = 'erasure'
        AND (u.record ->> 'kind', u.record ->> 'id') = (e.kind, e.id::text)
  )
UNION ALL
SELECT 'withdrawn_erasure', to_jsonb(w)
FROM ops.withdrawn_erasures AS w
WHERE NOT EXISTS (
        SELECT
        FROM adopted_withdrawals AS a
        WHERE (a.kind, a.id, a.erased_at) = (w.kind, w.id, w.erased_at)
    )
  AND NOT EXISTS (
      SELECT
      FROM ops.unshipped_records AS u
      WHERE u.kind = 'withdrawn_erasure'
        AND (
            u.record ->> 'kind', u.record ->> 'id', (u.record ->> 'erased_at')::timestamptz
        ) = (w.kind, w.id::text, w.erased_at)
  )
UNION ALL
SELECT 'erased_row', to_jsonb(e)
FROM ops.erased_rows AS e
WHERE NOT EXISTS (
        SELECT FROM adopted_rows AS a WHERE (a.table_name, a.key) = (e.table_name, e.key)
    )
  AND NOT EXISTS (
      SELECT
      FROM ops.unshipped_records AS u
      WHERE u.kind IN ('erased_row', 'returned_row')
        AND (u.record ->> 'table_name', u.record ->> 'key') = (e.table_name, e.key)
  )
UNION ALL
SELECT 'hold', to_jsonb(h)
FROM ops.legal_holds AS h
WHERE NOT EXISTS (
        SELECT
        FROM adopted_holds AS a
        WHERE (a.placed_at, a.placed_by, a.reason) = (h.placed_at, h.placed_by, h.reason)
          AND (h.released_at IS NULL OR a.released_at IS NOT NULL)
    )
  AND NOT EXISTS (
      SELECT
      FROM ops.unshipped_records AS u
      WHERE u.kind = 'hold' AND (u.record ->> 'id')::bigint = h.id
  );

-- name: erased_rows_left
-- What tombstones name, or what belongs to it, by table. Scans of the content and of the tombstones: for
-- a restored copy that nobody else uses.
WITH erased AS (
    SELECT kind, id FROM ops.erasures WHERE NOT used_again
)

SELECT 'families', count(*)
FROM public.families AS t
JOIN erased AS e ON e.kind = 'family' AND e.id = t.id
UNION ALL
SELECT 'memory_books', count(*)
FROM public.memory_books AS t
WHERE EXISTS (SELECT FROM erased AS e WHERE e.kind = 'book' AND e.id = t.id)
   OR EXISTS (SELECT FROM erased AS e WHERE e.kind = 'family' AND e.id = t.family_id)
UNION ALL
SELECT 'threads', count(*)
FROM public.threads AS t
WHERE EXISTS (SELECT FROM erased AS e WHERE e.kind = 'thread' AND e.id = t.id)
   OR EXISTS (SELECT FROM erased AS e WHERE e.kind = 'book' AND e.id = t.memory_book_id)
UNION ALL
SELECT 'users', count(*)
FROM public.users AS t
JOIN erased AS e ON e.kind = 'user' AND e.id = t.id
UNION ALL
SELECT 'content_segment_keys', count(*)
FROM public.content_segment_keys AS t
WHERE EXISTS (SELECT FROM erased AS e WHERE e.kind = 'segment' AND e.id = t.id)
   OR EXISTS (SELECT FROM erased AS e WHERE e.kind = 'thread' AND e.id = t.thread_id)
UNION ALL
SELECT 'content_segments', count(*)
FROM public.content_segments AS t
WHERE EXISTS (SELECT FROM erased AS e WHERE e.kind = 'segment' AND e.id = t.id)
   OR EXISTS (SELECT FROM erased AS e WHERE e.kind = 'thread' AND e.id = t.thread_id)
   OR EXISTS (SELECT FROM erased AS e WHERE e.kind = 'user' AND e.id = t.user_id)
UNION ALL
SELECT 'archived_content_segments', count(*)
FROM public.archived_content_segments AS t
WHERE EXISTS (SELECT FROM erased AS e WHERE e.kind = 'segment' AND e.id = t.id)
   OR EXISTS (SELECT FROM erased AS e WHERE e.kind = 'thread' AND e.id = t.thread_id)
   OR EXISTS (SELECT FROM erased AS e WHERE e.kind = 'user' AND e.id = t.user_id);

-- name: rows_by_erased
-- Rows of content that name an erased user as their maker. One scan of a restored copy.
SELECT count(*)
FROM {rows} AS c
WHERE EXISTS (
    SELECT FROM ops.erasures AS e WHERE e.kind = 'user' AND e.id = {maker} AND NOT e.used_again
);

-- name: record_rehearsal
-- One row.
INSERT INTO ops.erasure_rehearsals (
    point, point_at, verdict, tombstones, newest, deleted, rows_left, problem, run_id
)
VALUES (
    %(point)s, %(point_at)s, %(verdict)s, %(tombstones)s, %(newest)s, %(deleted)s, %(left)s,
    %(problem)s, %(run_id)s
);

-- name: newest_rehearsal
-- A few rows a day, by the primary key. Telling: refuted, or of a copy that is older than a tombstone.
SELECT point, point_at, held_at, verdict, tombstones, newest, deleted, rows_left, problem
FROM ops.erasure_rehearsals
WHERE NOT %(telling)s OR verdict = 'refuted' OR newest > point_at
ORDER BY id DESC
LIMIT 1;

-- name: newest_erasure
-- Reads all tombstones: a few rows a day.
SELECT max(erased_at)
FROM (
    SELECT erased_at FROM ops.erasures
    UNION ALL
    SELECT erased_at FROM ops.erased_rows
) AS erased;
