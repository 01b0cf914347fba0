-- name: months_report
-- Bytes by month and kind. One row a month of content_segments.
SELECT
    month, segments, text_bytes, transcript_bytes, recording_bytes, photo_bytes, bytes,
    recordings, photos, unsized
FROM ops.storage_months
ORDER BY month;

-- name: top_families
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

-- name: families_over_limit
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
