-- How far each book's sum is from its months, where it is. No row unless something was written
-- past the recomputation. Reads the whole rollup.
COPY (
    SELECT
        memory_book_id,
        coalesce(r.segments, 0)::bigint - coalesce(s.segments, 0),
        coalesce(r.bytes, 0)::bigint - coalesce(s.bytes, 0)
    FROM (
        SELECT memory_book_id, sum(segments) AS segments, sum(bytes) AS bytes
        FROM ops.storage_rollup
        GROUP BY memory_book_id
    ) AS r
    FULL JOIN ops.storage_books AS s USING (memory_book_id)
    WHERE (r.segments, r.bytes) IS DISTINCT FROM (s.segments, s.bytes)
) TO STDOUT (FORMAT BINARY);
