-- Rollup rows whose content is gone.
DELETE FROM ops.storage_rollup AS r
USING pg_temp.storage_differences AS d
WHERE d.segments IS NULL
  AND (r.month, r.memory_book_id, r.user_id) = (d.month, d.memory_book_id, d.user_id);
