-- One row, unless it was released before.
UPDATE ops.legal_holds
SET released_at = now(), released_by = session_user, release_reason = %(reason)s
WHERE id = %(id)s
  AND released_at IS NULL
RETURNING id, month, family_id, user_id, reason, placed_by, placed_at, released_at;
