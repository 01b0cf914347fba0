-- Where a fresh count and the rollup differ, for months from {first} to {last}, of
-- all users or of those in {users}: the counted values, NULL where nothing is
-- left, and what was recorded before. Usually few rows, so that what is unchanged is neither
-- sent nor written.
COPY (
    SELECT
        month,
        memory_book_id,
        user_id,
        counted.segments,
        counted.text_bytes,
        counted.transcript_bytes,
        counted.recordings,
        counted.photos,
        counted.recording_bytes,
        counted.photo_bytes,
        counted.unsized,
        counted.text_bytes + counted.transcript_bytes + counted.recording_bytes
            + counted.photo_bytes AS bytes,
        recorded.segments AS old_segments,
        recorded.bytes AS old_bytes
    FROM ({counted}) AS counted
    FULL JOIN (
        SELECT *
        FROM ops.storage_rollup
        WHERE month BETWEEN {first} AND {last}
          AND ({users}::uuid[] IS NULL OR user_id = ANY ({users}::uuid[]))
    ) AS recorded USING (month, memory_book_id, user_id)
    WHERE (
        counted.segments, counted.text_bytes, counted.transcript_bytes, counted.recordings,
        counted.photos, counted.recording_bytes, counted.photo_bytes, counted.unsized
    ) IS DISTINCT FROM (
        recorded.segments, recorded.text_bytes, recorded.transcript_bytes, recorded.recordings,
        recorded.photos, recorded.recording_bytes, recorded.photo_bytes, recorded.unsized
    )
) TO STDOUT (FORMAT BINARY);
