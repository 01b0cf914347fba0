-- Bytes by month and kind. One row a month of content_segments.
SELECT
    month, segments, text_bytes, transcript_bytes, recording_bytes, photo_bytes, bytes,
    recordings, photos, unsized
FROM ops.storage_months
ORDER BY month;
