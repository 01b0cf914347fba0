-- Each book's sum, added up anew. Writes nothing unless a sum and its months disagree.
INSERT INTO ops.storage_books AS s (memory_book_id, segments, bytes)
SELECT r.memory_book_id, r.segments, r.bytes
FROM (
    SELECT memory_book_id, sum(segments)::bigint AS segments, sum(bytes)::bigint AS bytes
    FROM ops.storage_rollup
    GROUP BY memory_book_id
) AS r
LEFT JOIN ops.storage_books AS old ON old.memory_book_id = r.memory_book_id
WHERE (old.segments, old.bytes) IS DISTINCT FROM (r.segments, r.bytes)
ON CONFLICT (memory_book_id) DO UPDATE SET segments = excluded.segments, bytes = excluded.bytes;
