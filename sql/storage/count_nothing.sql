-- What is left in content_segments of a month that has left it: no row, in the shape of a count.
SELECT
    r.month, r.memory_book_id, r.user_id, r.segments, r.text_bytes, r.transcript_bytes,
    r.recordings, r.photos, r.recording_bytes, r.photo_bytes, r.unsized
FROM ops.storage_rollup AS r
WHERE false;
