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
