-- Rollup rows that are new or have changed, in the order of the primary key.
INSERT INTO ops.storage_rollup AS r (
    month, memory_book_id, user_id, segments, text_bytes, transcript_bytes, recordings, photos,
    recording_bytes, photo_bytes, unsized
)
SELECT
    month, memory_book_id, user_id, segments, text_bytes, transcript_bytes, recordings, photos,
    recording_bytes, photo_bytes, unsized
FROM pg_temp.storage_differences
WHERE segments IS NOT NULL
ORDER BY month, user_id, memory_book_id
ON CONFLICT (month, user_id, memory_book_id) DO UPDATE SET
    segments = excluded.segments,
    text_bytes = excluded.text_bytes,
    transcript_bytes = excluded.transcript_bytes,
    recordings = excluded.recordings,
    photos = excluded.photos,
    recording_bytes = excluded.recording_bytes,
    photo_bytes = excluded.photo_bytes,
    unsized = excluded.unsized;
