-- name: open_thaws
-- Thaws that are not done: a handful of rows.
SELECT
    id, month, family_id, purpose, state, generations, tier, days, estimate, relation,
    relation_name, content, left_out,
    purged_through, purged_buckets, requested_at, expires_at
FROM ops.thaws
WHERE state NOT IN ('done', 'cancelled')
ORDER BY id;

-- name: begin_thaw
-- The unique index thaws_one_at_a_time lets only one of two concurrent runs in.
INSERT INTO ops.thaws (
    month, purpose, family_id, state, generations, tier, days, estimate, run_id
)
VALUES (
    %(month)s, %(purpose)s, %(family_id)s, 'restoring', %(generations)s, %(tier)s, %(days)s,
    %(estimate)s, %(run_id)s
);

-- name: update_thaw
-- One row, matched by the state that the caller has seen.
UPDATE ops.thaws
SET {assignments}
WHERE id = {id}
  AND state = {seen_state}
RETURNING
    id, month, family_id, purpose, state, generations, tier, days, estimate, relation,
    relation_name, content, left_out,
    purged_through, purged_buckets, requested_at, expires_at;

-- name: record_refrozen
-- In the transaction that removed the segments up to this one.
UPDATE ops.thaws
SET purged_through = %(through)s
WHERE id = %(id)s;

-- name: record_thaw_error
-- One row, when there is something new to say.
UPDATE ops.thaws
SET error = %(error)s
WHERE id = %(id)s
  AND error IS DISTINCT FROM %(error)s;
