-- name: add_hold
-- One row; the table's CHECK wants exactly one subject.
INSERT INTO ops.legal_holds (month, family_id, user_id, reason)
VALUES (%(month)s, %(family_id)s, %(user_id)s, %(reason)s)
RETURNING id, month, family_id, user_id, reason, placed_by, placed_at, released_at;

-- name: release_hold
-- One row, unless it was released before.
UPDATE ops.legal_holds
SET released_at = now(), released_by = session_user, release_reason = %(reason)s
WHERE id = %(id)s
  AND released_at IS NULL
RETURNING id, month, family_id, user_id, reason, placed_by, placed_at, released_at;

-- name: list_holds
-- A few rows.
SELECT id, month, family_id, user_id, reason, placed_by, placed_at, released_at
FROM ops.legal_holds
ORDER BY id;

-- name: held_subjects
-- Holds on families and users that have content in a month. Index probes of the month by user and
-- by thread for each hold. ACCESS SHARE.
SELECT h.id
FROM ops.legal_holds AS h
WHERE h.released_at IS NULL
  AND (
      EXISTS (SELECT FROM {segments} AS s WHERE s.user_id = h.user_id)
      OR EXISTS (
          SELECT
          FROM memory_books AS mb
          JOIN threads AS t ON t.memory_book_id = mb.id
          JOIN {segments} AS s ON s.thread_id = t.id
          WHERE mb.family_id = h.family_id
      )
  );
