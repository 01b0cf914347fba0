-- A few of the rows that differ, for people.
SELECT
    month::text,
    memory_book_id::text,
    user_id::text,
    coalesce(old_bytes, 0) AS recorded_bytes,
    coalesce(bytes, 0) AS counted_bytes
FROM pg_temp.storage_differences
WHERE month = ANY (%(months)s)
ORDER BY abs(coalesce(bytes, 0) - coalesce(old_bytes, 0)) DESC, month, memory_book_id, user_id
LIMIT %(most)s;
