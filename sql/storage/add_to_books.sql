-- Each book's sum over all months, moved by what the rollup moved.
INSERT INTO ops.storage_books AS s (memory_book_id, segments, bytes)
SELECT
    memory_book_id,
    sum(coalesce(segments, 0) - coalesce(old_segments, 0)),
    sum(coalesce(bytes, 0) - coalesce(old_bytes, 0))
FROM pg_temp.storage_differences
GROUP BY memory_book_id
ON CONFLICT (memory_book_id) DO UPDATE SET
    segments = s.segments + excluded.segments,
    bytes = s.bytes + excluded.bytes;
