-- The families that occupy most, with their share of their limit.
SELECT
    f.id,
    f.name,
    f.subscription_tier,
    t.bytes,
    f.storage_limit_bytes AS limit_bytes,
    round(100.0 * t.bytes / nullif(f.storage_limit_bytes, 0), 1)::float8 AS percent
FROM ops.storage_families AS t
JOIN families AS f ON f.id = t.family_id
ORDER BY t.bytes DESC, f.id
LIMIT %(most)s;
