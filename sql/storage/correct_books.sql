-- Moves sums by what they were found to be off.
INSERT INTO ops.storage_books AS s (memory_book_id, segments, bytes)
SELECT owner_id, segments, bytes
FROM pg_temp.storage_corrections
ON CONFLICT (memory_book_id) DO UPDATE SET
    segments = s.segments + excluded.segments,
    bytes = s.bytes + excluded.bytes;
