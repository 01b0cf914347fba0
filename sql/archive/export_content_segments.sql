-- A month's segments with their family, sorted so that the rows of one family, and of one of its
-- threads, lie together. ACCESS SHARE; one sort of the month within work_mem or on disk.
SELECT {columns}, mb.family_id
FROM {segments} AS s
LEFT JOIN threads AS t ON t.id = s.thread_id
LEFT JOIN memory_books AS mb ON mb.id = t.memory_book_id
ORDER BY mb.family_id, s.thread_id, s.sequence_number;
