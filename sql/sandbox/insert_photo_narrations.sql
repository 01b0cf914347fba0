-- Narrations for half of one month's photos. The month's bounds prune to its partition.
INSERT INTO photo_narrations (
    id, content_segment_id, photo_index, narration_text, narration_type, confidence_score, language,
    created_by, created_at, updated_at, metadata
)
SELECT
    md5(cs.id || ':narration:' || photo)::uuid,
    cs.id,
    photo - 1,
    p.caption,
    kind.narration_type,
    CASE WHEN kind.narration_type = 'ai' THEN 0.5 + (h >> 3 & 511)::float / 1024 END,
    (ARRAY['en', 'en', 'de', NULL])[1 + (h >> 12 & 3)],
    CASE WHEN kind.narration_type <> 'ai' THEN cs.user_id END,
    cs.created_at,
    cs.created_at,
    jsonb_build_object(
        'model_version', 'narrator-' || (1 + (h >> 14 & 3)),
        'detected_objects', to_jsonb(string_to_array(p.caption, ' ')),
        'detected_people', '[]'::jsonb
    )
FROM content_segments AS cs
CROSS JOIN LATERAL generate_series(1, cardinality(cs.photo_urls)) AS photo
CROSS JOIN LATERAL uuid_hash_extended(cs.id, %(seed)s::bigint + 13 + photo) AS h
CROSS JOIN LATERAL (
    SELECT (ARRAY['ai', 'ai', 'user', 'edited'])[1 + (h >> 1 & 3)] AS narration_type
) AS kind
JOIN sample_passages AS p ON p.number = (h >> 16 & 8191)
WHERE cs.created_at >= %(month_start)s
  AND cs.created_at < %(month_end)s
  AND (h & 1) = 0
