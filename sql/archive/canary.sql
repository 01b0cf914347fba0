-- What the application does all day: a thread and its book, by index. A few pages.
SELECT mb.title
FROM threads AS t
JOIN memory_books AS mb ON mb.id = t.memory_book_id
ORDER BY t.last_segment_at DESC NULLS LAST
LIMIT 1;
