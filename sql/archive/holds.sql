-- name: add_hold
-- One row; its trigger writes down what is held, and takes SHARE ROW EXCLUSIVE on
-- ops.standing_holds, for which it waits for every transaction that has changed content: only under
-- a short lock_timeout.
INSERT INTO ops.legal_holds (id, month, family_id, book_id, thread_id, user_id, reason, placed_by)
OVERRIDING SYSTEM VALUE
VALUES (
    %(id)s, %(month)s, %(family_id)s, %(book_id)s, %(thread_id)s, %(user_id)s, %(reason)s,
    session_user || coalesce(' (' || %(person)s || ')', '')
)
RETURNING
    id, month, family_id, book_id, thread_id, user_id, reason, placed_by, placed_at, released_by,
    released_at, release_reason, archived_months, archives_read_at,
    unlisted_months;

-- name: next_hold
-- The number of the next hold, before it is placed.
SELECT nextval(pg_get_serial_sequence('ops.legal_holds', 'id'));

-- name: threads_to_be_held
-- The threads of a family or a book that is to be held, and those that were erased with such a book.
-- Index probes.
SELECT t.id
FROM threads AS t
JOIN memory_books AS mb ON mb.id = t.memory_book_id
WHERE mb.id = %(book)s
   OR mb.family_id = %(family)s
UNION
SELECT t.id
FROM ops.erasures AS b
JOIN ops.erasures AS t ON t.erased_at = b.erased_at AND t.kind = 'thread'
WHERE b.kind = 'book'
  AND b.id = %(book)s;

-- name: arrivals_in_hold
-- One row.
SELECT arrivals
FROM ops.legal_holds
WHERE id = %(id)s;

-- name: analyze_held
-- SHARE UPDATE EXCLUSIVE on a small table of ours: what holds hold is looked up for each change.
ANALYZE ops.held_subjects;

-- name: release_hold
-- One row, unless it was released before. Its trigger locks as that of archive/add_hold does.
UPDATE ops.legal_holds
SET released_at = now(),
    released_by = session_user || coalesce(' (' || %(person)s || ')', ''),
    release_reason = %(reason)s
WHERE id = %(id)s
  AND released_at IS NULL
RETURNING
    id, month, family_id, book_id, thread_id, user_id, reason, placed_by, placed_at, released_by,
    released_at, release_reason, archived_months, archives_read_at,
    unlisted_months;

-- name: list_holds
-- A few rows.
SELECT
    id, month, family_id, book_id, thread_id, user_id, reason, placed_by, placed_at, released_by,
    released_at, release_reason, archived_months, archives_read_at,
    unlisted_months
FROM ops.legal_holds
ORDER BY id;

-- name: changing_content
-- Who keeps a hold from being placed: open transactions that have changed content. Reads the lock
-- table.
SELECT l.pid, a.usename, a.application_name
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.relation = 'ops.standing_holds'::regclass
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.granted
  AND l.pid <> pg_backend_pid()
ORDER BY l.pid;

-- name: what_bears_an_id
-- Of which kinds a living row or a tombstone bears an id, and its name where it has one. Five index
-- probes.
SELECT 'user' AS kind, coalesce(u.display_name, u.email) AS called, NULL::timestamptz AS erased_at
FROM users AS u
WHERE u.id = %(id)s
UNION ALL
SELECT 'family', f.name, NULL
FROM families AS f
WHERE f.id = %(id)s
UNION ALL
SELECT 'book', mb.title, NULL
FROM memory_books AS mb
WHERE mb.id = %(id)s
UNION ALL
SELECT 'thread', t.title, NULL
FROM threads AS t
WHERE t.id = %(id)s
UNION ALL
SELECT e.kind, NULL, e.erased_at
FROM ops.erasures AS e
WHERE e.id = %(id)s;

-- name: held_months
-- The months that hold a held subject's content in the database, hot or archived. Index probes of the
-- keys by thread, of every month by author.
SELECT DISTINCT date_trunc('month', k.created_at AT TIME ZONE 'UTC')::date AS month
FROM ops.held_subjects AS s
JOIN content_segment_keys AS k ON k.thread_id = s.id
WHERE s.hold_id = %(id)s
  AND s.kind = 'thread'
  AND s.whole
UNION
SELECT date_trunc('month', s.created_at AT TIME ZONE 'UTC')::date
FROM content_segments AS s
WHERE s.user_id = %(user_id)s
UNION
SELECT date_trunc('month', s.created_at AT TIME ZONE 'UTC')::date
FROM archived_content_segments AS s
WHERE s.user_id = %(user_id)s
UNION
SELECT date_trunc('month', k.created_at AT TIME ZONE 'UTC')::date
FROM ops.held_subjects AS s
JOIN content_segment_keys AS k ON k.id = s.id
WHERE s.hold_id = %(id)s
  AND s.kind = 'segment'
ORDER BY month;

-- name: changes_of_holds
-- One row.
SELECT changes
FROM ops.hold_changes;

-- name: what_triggers_ask
-- What the triggers of held tables are told stands: 1 any, 2 on a month, 4 on a user, added up. ROW
-- EXCLUSIVE on a sequence until the transaction ends, as any change of content takes: nobody can place or
-- release a hold meanwhile.
SELECT coalesce(pg_sequence_last_value('ops.standing_holds'), 7);

-- name: kinds_that_stand
-- What does stand, in the same numbers. A few rows.
SELECT (sign(count(*)) + 2 * sign(count(h.month)) + 4 * sign(count(h.user_id)))::bigint
FROM ops.legal_holds AS h
WHERE h.released_at IS NULL;

-- name: holds_on_segments
-- Standing holds that hold rows of a month, or what belongs to these rows. Index probes of the month
-- for each held user, thread and segment, of narrations, tags and links for each held user.
-- ACCESS SHARE.
SELECT h.id
FROM ops.legal_holds AS h
WHERE h.released_at IS NULL
  AND (
      EXISTS (SELECT FROM {segments} AS s WHERE s.user_id = h.user_id)
      OR EXISTS (
          SELECT
          FROM ops.held_subjects AS held
          JOIN {segments} AS s ON s.thread_id = held.id
          WHERE held.hold_id = h.id
            AND held.kind = 'thread'
            AND held.whole
      )
      OR EXISTS (
          SELECT
          FROM ops.held_subjects AS held
          JOIN {segments} AS s ON s.id = held.id
          WHERE held.hold_id = h.id
            AND held.kind = 'segment'
      )
      OR EXISTS (
          SELECT
          FROM photo_narrations AS c
          JOIN {segments} AS s ON s.id = c.content_segment_id
          WHERE c.created_by = h.user_id
      )
      OR EXISTS (
          SELECT
          FROM content_tags AS c
          JOIN {segments} AS s ON s.id = c.content_segment_id
          WHERE c.tagged_by = h.user_id
      )
      OR EXISTS (
          SELECT
          FROM content_links AS c
          JOIN {segments} AS s ON s.id IN (c.source_segment_id, c.target_segment_id)
          WHERE c.created_by = h.user_id
      )
  );

-- name: holds_on_links
-- Standing holds on what links of a month's segments lead to, in other months: such a link would go
-- with its segment. Index probes of links, keys and segments for each segment of the month: asked only
-- while a hold stands and none holds the month's own rows. ACCESS SHARE.
SELECT DISTINCT held.hold_id
FROM (
    SELECT c.target_segment_id AS other
    FROM {segments} AS s
    JOIN content_links AS c ON c.source_segment_id = s.id
    UNION ALL
    SELECT c.source_segment_id
    FROM {segments} AS s
    JOIN content_links AS c ON c.target_segment_id = s.id
) AS ends
CROSS JOIN LATERAL (SELECT ops.hold_on_key(ends.other) AS hold_id) AS held
WHERE held.hold_id IS NOT NULL;

-- name: record_archived_subjects
-- What of an archive a hold keeps in its place, row by row of an array; whole where an earlier search,
-- which could not read every list, has found a part. Row locks on what is new or becomes whole only.
INSERT INTO ops.held_subjects AS s (id, kind, hold_id, whole)
SELECT DISTINCT v.id, %(kind)s, %(hold)s, %(whole)s
FROM unnest(%(ids)s::uuid[]) AS v (id)
ON CONFLICT (id, kind, hold_id) DO UPDATE
SET whole = true
WHERE EXCLUDED.whole
  AND NOT s.whole;

-- name: record_archived_months
-- One row, unless something has come into the hold since that its search does not know of.
UPDATE ops.legal_holds
SET archived_months = %(months)s,
    unlisted_months = %(unlisted)s,
    archives_read_at = clock_timestamp()
WHERE id = %(id)s
  AND released_at IS NULL
  AND arrivals IS NOT DISTINCT FROM %(arrivals)s
RETURNING
    id, month, family_id, book_id, thread_id, user_id, reason, placed_by, placed_at, released_by,
    released_at, release_reason, archived_months, archives_read_at,
    unlisted_months;

-- name: search_for_all_again
-- The archives have become more: they are searched again for each hold that stands. A row lock on each, the
-- first hold's first, as everybody locks them.
SELECT ops.search_again(h.id)
FROM ops.legal_holds AS h
WHERE h.released_at IS NULL
ORDER BY h.id;

-- name: held_by_id
-- The threads that each standing hold holds whole, and the segments that its links lead to.
SELECT hold_id, kind, id
FROM ops.held_subjects
WHERE kind = 'thread' AND whole
   OR kind = 'end';

-- name: guard_segments
-- SHARE ROW EXCLUSIVE on the month's table until the transaction ends: only under a short
-- lock_timeout. Before a detach, which takes the triggers of the parent away.
SELECT ops.guard_segments(%(segments)s::regclass);

-- name: held_segments
-- The segments of threads, in the database or in an archive alone; those of a user, and of a month, in
-- the database. Index probes; of a month, a scan of the keys. ACCESS SHARE.
SELECT p.id
FROM ops.purged_segments AS p
WHERE p.thread_id = ANY (%(threads)s::uuid[])
UNION
SELECT k.id
FROM content_segment_keys AS k
WHERE k.thread_id = ANY (%(threads)s::uuid[])
UNION
SELECT s.id
FROM content_segments AS s
WHERE s.user_id = %(user_id)s::uuid
UNION
SELECT s.id
FROM archived_content_segments AS s
WHERE s.user_id = %(user_id)s::uuid
UNION
SELECT s.id
FROM ops.held_subjects AS s
WHERE s.hold_id = %(hold)s
  AND s.kind = 'segment'
UNION
SELECT k.id
FROM content_segment_keys AS k
WHERE k.created_at >= %(month)s::date::timestamp AT TIME ZONE 'UTC'
  AND k.created_at < (%(month)s::date + interval '1 month') AT TIME ZONE 'UTC';

-- name: living_threads
-- Which of some threads the database has. Index probes.
SELECT t.id
FROM threads AS t
WHERE t.id = ANY (%(ids)s::uuid[]);

-- name: threads_of_ends
-- The threads of segments, in the database or in an archive alone. Two index probes for each.
SELECT p.thread_id
FROM ops.purged_segments AS p
WHERE p.id = ANY (%(ids)s::uuid[])
UNION
SELECT k.thread_id
FROM content_segment_keys AS k
WHERE k.id = ANY (%(ids)s::uuid[]);

-- name: authors_of_ends
-- The authors of segments that are in the database. Two index probes for each.
SELECT s.user_id
FROM content_segment_keys AS k
JOIN content_segments AS s ON s.id = k.id AND s.created_at = k.created_at
WHERE k.id = ANY (%(ids)s::uuid[])
UNION
SELECT s.user_id
FROM content_segment_keys AS k
JOIN archived_content_segments AS s ON s.id = k.id AND s.created_at = k.created_at
WHERE k.id = ANY (%(ids)s::uuid[]);
