-- Five books a family. The stored counters keep their defaults: nothing maintains them.
INSERT INTO memory_books (
    id, family_id, title, description, cover_image_url, created_by, is_collaborative, privacy,
    last_activity_at, created_at, updated_at
)
SELECT
    md5(%(seed)s::text || ':book:' || book)::uuid,
    f.id,
    titles[1 + (h & 15)],
    CASE WHEN (h >> 4 & 1) = 0 THEN p.caption END,
    CASE
        WHEN (h >> 5 & 3) <> 0
            THEN 'https://media.familytales.example/covers/' || md5(book::text) || '.jpg'
    END,
    s.user_id,
    (h >> 7 & 7) <> 0,
    CASE h >> 10 & 15 WHEN 0 THEN 'private' WHEN 1 THEN 'public' WHEN 2 THEN NULL ELSE 'family' END,
    f.created_at,
    f.created_at,
    f.created_at
FROM generate_series(0, %(families)s::integer * 5 - 1) AS book
CROSS JOIN LATERAL hashint8extended(book, %(seed)s::bigint + 9) AS h
JOIN families AS f ON f.id = md5(%(seed)s::text || ':family:' || book / 5)::uuid
JOIN sample_seats AS s ON s.family = book / 5 AND s.seat = (h >> 14 & 3)
JOIN sample_passages AS p ON p.number = (h >> 16 & 8191)
CROSS JOIN string_to_array(
    'Grandma''s kitchen|The farm|Letters home|Weddings|Our first house|Summers by the sea'
    '|Recipes worth keeping|School days|The long journey|Grandpa''s workshop|Christmas stories'
    '|The war years|Babies 👶|حكايات جدتي|Lieder und Gedichte|Family tree',
    '|'
) AS titles
