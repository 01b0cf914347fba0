-- One row; the table's CHECK wants exactly one subject.
INSERT INTO ops.legal_holds (month, family_id, user_id, reason)
VALUES (%(month)s, %(family_id)s, %(user_id)s, %(reason)s)
RETURNING id, month, family_id, user_id, reason, placed_by, placed_at, released_at;
