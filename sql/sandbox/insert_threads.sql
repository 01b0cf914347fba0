-- The threads, each begun by somebody of the family before its first segment.
INSERT INTO threads (
    id, memory_book_id, title, started_by, is_locked, created_at, updated_at, metadata
)
SELECT
    t.id,
    mb.id,
    CASE WHEN (h & 7) <> 0 THEN left(p.caption, 60) END,
    s.user_id,
    (h >> 3 & 31) = 0,
    mb.created_at,
    mb.created_at,
    jsonb_build_object(
        'topic', (ARRAY['childhood', 'food', 'travel', NULL])[1 + (h >> 8 & 3)],
        'mood', (ARRAY['joyful', 'tender', 'sad', NULL])[1 + (h >> 10 & 3)],
        'participants', '[]'::jsonb
    )
FROM sample_threads AS t
CROSS JOIN LATERAL hashint8extended(t.number, %(seed)s::bigint + 10) AS h
JOIN memory_books AS mb ON mb.id = md5(%(seed)s::text || ':book:' || t.book)::uuid
JOIN sample_seats AS s ON s.family = t.family AND s.seat = mod((h >> 12 & 65535)::integer, 7)
JOIN sample_passages AS p ON p.number = (h >> 28 & 8191)
