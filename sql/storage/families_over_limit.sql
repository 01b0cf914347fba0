-- Families above a share of their limit, the fullest first; a family without a limit never is.
-- The counts are of all of them, the rows stop at the limit given. Reads families once.
SELECT
    f.id,
    f.name,
    f.subscription_tier,
    t.bytes,
    f.storage_limit_bytes AS limit_bytes,
    round(100.0 * t.bytes / nullif(f.storage_limit_bytes, 0), 1)::float8 AS percent,
    count(*) OVER () AS above_warning,
    count(*) FILTER (WHERE t.bytes > f.storage_limit_bytes) OVER () AS above_limit
FROM ops.storage_families AS t
JOIN families AS f ON f.id = t.family_id
WHERE t.bytes * 100.0 > f.storage_limit_bytes * %(percent)s::numeric
ORDER BY t.bytes::float8 / nullif(f.storage_limit_bytes, 0) DESC NULLS FIRST, f.id
LIMIT %(most)s;
