-- Thaws that are not done: a handful of rows.
SELECT
    id, month, family_id, purpose, state, generations, tier, days, estimate, digests, left_out,
    purged_buckets, requested_at, expires_at
FROM ops.thaws
WHERE state NOT IN ('done', 'cancelled')
ORDER BY id;
