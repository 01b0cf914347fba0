-- Get Family Memory Books with Stats. $1: family id.
-- One row a book that is not private, the last active first, books without content last. A book
-- without a privacy setting counts as the family's. thread_count is counted, not the stored one.
-- The view memory_book_stats says the same of a book; here all books of a family are counted at
-- once: one index probe a segment, however many months there are. ACCESS SHARE only.
WITH books AS MATERIALIZED (
    SELECT *
    FROM memory_books
    WHERE family_id = $1
      AND privacy IS DISTINCT FROM 'private'
),

book_threads AS MATERIALIZED (
    SELECT
        t.id,
        t.memory_book_id
    FROM books
    JOIN threads AS t ON t.memory_book_id = books.id
),

stats AS (
    SELECT
        bt.memory_book_id,
        count(DISTINCT bt.id) AS thread_count,
        count(cs.thread_id) AS segment_count,
        count(DISTINCT cs.user_id) AS contributor_count,
        max(cs.created_at) AS last_activity,
        sum(cs.photo_count) AS photo_count,
        sum(cs.audio_count) AS audio_count
    FROM book_threads AS bt
    LEFT JOIN content_sizes(ARRAY(SELECT id FROM book_threads)) AS cs ON cs.thread_id = bt.id
    GROUP BY bt.memory_book_id
)

SELECT
    mb.id,
    mb.family_id,
    mb.title,
    mb.description,
    mb.cover_image_url,
    mb.created_by,
    mb.is_collaborative,
    mb.privacy,
    mb.last_activity_at,
    mb.created_at,
    mb.updated_at,
    mb.metadata,
    coalesce(stats.thread_count, 0) AS thread_count,
    coalesce(stats.segment_count, 0) AS segment_count,
    coalesce(stats.contributor_count, 0) AS contributor_count,
    stats.last_activity,
    coalesce(stats.photo_count, 0) AS photo_count,
    coalesce(stats.audio_count, 0) AS audio_count,
    u.display_name AS created_by_name
FROM books AS mb
LEFT JOIN stats ON stats.memory_book_id = mb.id
-- Left: whoever has left the family is no longer visible, his book is.
LEFT JOIN users AS u ON u.id = mb.created_by
ORDER BY stats.last_activity DESC NULLS LAST, mb.created_at DESC, mb.id;
