-- The families, each owned by its seat 0.
INSERT INTO families (
    id, name, description, owner_id, subscription_tier, storage_limit_bytes, is_active, created_at,
    updated_at
)
SELECT
    md5(%(seed)s::text || ':family:' || s.family)::uuid,
    coalesce('The ' || regexp_replace(u.display_name, '^\S+ ', '') || ' family', 'A family'),
    CASE WHEN (h & 3) = 0 THEN 'Everybody''s stories since ' || (1880 + (h >> 2 & 63)) END,
    s.user_id,
    u.subscription_tier,
    CASE u.subscription_tier WHEN 'free' THEN 5368709120 ELSE 53687091200 END,
    (h >> 8 & 63) <> 0,
    u.created_at,
    u.created_at
FROM sample_seats AS s
JOIN users AS u ON u.id = s.user_id
CROSS JOIN LATERAL hashint8extended(s.family, %(seed)s::bigint + 6) AS h
WHERE s.seat = 0
