-- One row, matched by the state that the caller has seen.
UPDATE ops.thaws
SET {assignments}
WHERE id = %(id)s
  AND state = %(seen_state)s
RETURNING
    id, month, family_id, purpose, state, generations, tier, days, estimate, digests, left_out,
    purged_buckets, requested_at, expires_at;
