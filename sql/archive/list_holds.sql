-- A few rows.
SELECT id, month, family_id, user_id, reason, placed_by, placed_at, released_at
FROM ops.legal_holds
ORDER BY id;
