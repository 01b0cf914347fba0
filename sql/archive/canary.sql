-- What the application does all day: some thread and its book, by their keys. A few pages.
SELECT mb.title
FROM threads AS t
JOIN memory_books AS mb ON mb.id = t.memory_book_id
WHERE t.id >= (SELECT gen_random_uuid())
ORDER BY t.id
LIMIT 1;
