-- The same as count_by_estimate, with the real size of every recording and photo whose object
-- the inventory knows; the others count by the estimate, and are `unsized`.
-- One probe of ops.media_objects a recording and photo; ACCESS SHARE.
SELECT
    s.month,
    t.memory_book_id,
    s.user_id,
    count(*) AS segments,
    sum(s.text_bytes) AS text_bytes,
    sum(s.transcript_bytes) AS transcript_bytes,
    sum(s.recordings) AS recordings,
    sum(s.photos) AS photos,
    sum(s.recording_bytes)::bigint AS recording_bytes,
    sum(s.photo_bytes)::bigint AS photo_bytes,
    sum(s.unsized)::bigint AS unsized
FROM (
    SELECT
        date_trunc('month', cs.created_at AT TIME ZONE 'UTC')::date AS month,
        cs.thread_id,
        cs.user_id,
        coalesce(octet_length(cs.text_content), 0) AS text_bytes,
        coalesce(octet_length(cs.audio_transcript), 0) AS transcript_bytes,
        (cs.audio_url IS NOT NULL)::integer AS recordings,
        coalesce(cardinality(cs.photo_urls), 0) AS photos,
        CASE WHEN cs.audio_url IS NOT NULL THEN coalesce(recording.bytes, 1048576) ELSE 0 END
            AS recording_bytes,
        photos.bytes AS photo_bytes,
        photos.unsized + (cs.audio_url IS NOT NULL AND recording.key IS NULL)::integer AS unsized
    FROM content_segments AS cs
    LEFT JOIN ops.media_objects AS recording ON recording.key = ops.media_key(cs.audio_url)
    CROSS JOIN LATERAL (
        SELECT
            coalesce(sum(coalesce(photo.bytes, 524288)), 0) AS bytes,
            count(*) FILTER (WHERE photo.key IS NULL) AS unsized
        FROM unnest(cs.photo_urls) AS urls (url)
        LEFT JOIN ops.media_objects AS photo ON photo.key = ops.media_key(urls.url)
    ) AS photos
    WHERE cs.created_at >= {lower}
      AND cs.created_at < {upper}
      AND ({users}::uuid[] IS NULL OR cs.user_id = ANY ({users}::uuid[]))
      AND cs.is_deleted IS NOT TRUE
    OFFSET 0
) AS s
JOIN threads AS t ON t.id = s.thread_id
GROUP BY s.month, t.memory_book_id, s.user_id;
