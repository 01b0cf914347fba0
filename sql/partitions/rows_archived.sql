-- Rows that the archive holds too: then this table is a copy, and the key belongs to the other.
SELECT count(*)
FROM {table} AS s
WHERE EXISTS (
    SELECT
    FROM archived_content_segments AS a
    WHERE a.id = s.id
      AND a.created_at = s.created_at
);
