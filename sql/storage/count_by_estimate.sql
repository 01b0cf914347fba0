-- Segments and bytes from {lower} to {upper}, by month, book and user; of all users, or of those
-- in the array {users} if it is not NULL. 1,048,576 bytes a
-- recording and 524,288 a photo are the specification's estimates; NULL counts as nothing, and
-- so does a deleted segment.
-- OFFSET 0 keeps the lengths below the join: without it the join carries whole texts, at twice
-- the time. Reads the partitions and threads once; ACCESS SHARE.
SELECT
    s.month,
    t.memory_book_id,
    s.user_id,
    count(*) AS segments,
    sum(s.text_bytes) AS text_bytes,
    sum(s.transcript_bytes) AS transcript_bytes,
    sum(s.recordings) AS recordings,
    sum(s.photos) AS photos,
    sum(s.recordings) * 1048576 AS recording_bytes,
    sum(s.photos) * 524288 AS photo_bytes,
    sum(s.recordings + s.photos) AS unsized
FROM (
    SELECT
        date_trunc('month', cs.created_at AT TIME ZONE 'UTC')::date AS month,
        cs.thread_id,
        cs.user_id,
        coalesce(octet_length(cs.text_content), 0) AS text_bytes,
        coalesce(octet_length(cs.audio_transcript), 0) AS transcript_bytes,
        (cs.audio_url IS NOT NULL)::integer AS recordings,
        coalesce(cardinality(cs.photo_urls), 0) AS photos
    FROM content_segments AS cs
    WHERE cs.created_at >= {lower}
      AND cs.created_at < {upper}
      AND ({users}::uuid[] IS NULL OR cs.user_id = ANY ({users}::uuid[]))
      AND cs.is_deleted IS NOT TRUE
    OFFSET 0
) AS s
JOIN threads AS t ON t.id = s.thread_id
GROUP BY s.month, t.memory_book_id, s.user_id;
