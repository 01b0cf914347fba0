-- The narrations of a month's segments, in the order of the segments. ACCESS SHARE.
SELECT {columns}, mb.family_id
FROM {narrations} AS c
JOIN {segments} AS s ON s.id = c.content_segment_id
LEFT JOIN threads AS t ON t.id = s.thread_id
LEFT JOIN memory_books AS mb ON mb.id = t.memory_book_id
ORDER BY mb.family_id, s.thread_id, s.sequence_number, c.id;
