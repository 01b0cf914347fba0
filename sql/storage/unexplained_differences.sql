-- Rows that differed although no signal named them: not in a month that had to be counted whole,
-- and not of a user who was marked. The largest first, and how many there are in all.
SELECT
    d.month::text,
    d.memory_book_id::text,
    d.user_id::text,
    coalesce(d.old_bytes, 0) AS recorded_bytes,
    coalesce(d.bytes, 0) AS counted_bytes,
    count(*) OVER () AS disagreements
FROM pg_temp.storage_differences AS d
WHERE d.month <> ALL (%(whole)s::date[])
  AND NOT EXISTS (
      SELECT
      FROM unnest(%(months)s::date[], %(users)s::uuid[]) AS marked (month, user_id)
      WHERE (marked.month, marked.user_id) = (d.month, d.user_id)
  )
ORDER BY
    abs(coalesce(d.bytes, 0) - coalesce(d.old_bytes, 0)) DESC,
    d.month, d.memory_book_id, d.user_id
LIMIT %(most)s;
