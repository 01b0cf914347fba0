-- name: newest_generations
-- The newest generation of every month that was ever archived, oldest month first. Reads the
-- ledger: a row a month and generation. ACCESS SHARE only.
SELECT DISTINCT ON (s.month)
    s.month,
    s.generation,
    s.state,
    coalesce(s.bytes, 0)::bigint AS bytes,
    s.archived_at,
    s.proven_at,
    s.error
FROM ops.archive_status AS s
ORDER BY s.month, s.generation DESC;

-- name: open_thaws
-- Months that are asked back from Glacier or stand in the database again.
SELECT t.month, t.state, t.purpose, t.expires_at
FROM ops.thaws AS t
WHERE t.state NOT IN ('done', 'cancelled')
ORDER BY t.month;

-- name: storage_at_a_glance
-- When storage was last recomputed, and how many families are near or beyond their plan's limit.
-- Reads the totals of all families once.
SELECT
    (SELECT max(taken_at) FROM ops.storage_recomputations) AS recomputed_at,
    count(*) AS families,
    count(*) FILTER (WHERE t.bytes > f.storage_limit_bytes) AS beyond,
    count(*) FILTER (WHERE t.bytes > 0.8 * f.storage_limit_bytes) AS near,
    coalesce(sum(t.bytes), 0)::bigint AS bytes
FROM ops.storage_families AS t
JOIN families AS f ON f.id = t.family_id;
