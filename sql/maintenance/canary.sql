-- What the application does all day: one thread's segments, found by index in every partition.
-- A few pages each.
SELECT count(*)
FROM content_segments AS cs
WHERE cs.thread_id = (
    SELECT t.id
    FROM threads AS t
    WHERE t.id >= %(somewhere)s
    ORDER BY t.id
    LIMIT 1
)
  AND NOT cs.is_deleted;
