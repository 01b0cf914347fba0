-- Each family's sum, over the books that are its own in this snapshot. Writes only what differs.
INSERT INTO ops.storage_families AS t (family_id, bytes)
SELECT counted.family_id, counted.bytes
FROM (
    SELECT f.id AS family_id, coalesce(sum(b.bytes), 0)::bigint AS bytes
    FROM families AS f
    LEFT JOIN memory_books AS mb ON mb.family_id = f.id
    LEFT JOIN ops.storage_books AS b ON b.memory_book_id = mb.id
    GROUP BY f.id
) AS counted
LEFT JOIN ops.storage_families AS old ON old.family_id = counted.family_id
WHERE old.bytes IS DISTINCT FROM counted.bytes
ON CONFLICT (family_id) DO UPDATE SET bytes = excluded.bytes;
