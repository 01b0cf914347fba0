-- name: storage_at_a_glance
-- When storage was last recomputed, of how many families, and what it found in all.
-- Reads the totals of all families once.
SELECT
    (SELECT max(taken_at) FROM ops.storage_recomputations) AS recomputed_at,
    count(*) AS families,
    coalesce(sum(t.bytes), 0)::bigint AS bytes
FROM ops.storage_families AS t
JOIN families AS f ON f.id = t.family_id;

-- name: content_bytes
-- Bytes of content by month, as the last recomputation of storage left them.
SELECT m.month, m.bytes FROM ops.storage_months AS m WHERE m.month >= %(first)s;
