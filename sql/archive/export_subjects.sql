-- Whose content a month holds: what an erasure has to know without restoring it. One aggregate
-- over the month. ACCESS SHARE.
SELECT mb.family_id, s.thread_id, s.user_id, count(*) AS segments
FROM {segments} AS s
LEFT JOIN threads AS t ON t.id = s.thread_id
LEFT JOIN memory_books AS mb ON mb.id = t.memory_book_id
GROUP BY mb.family_id, s.thread_id, s.user_id
ORDER BY mb.family_id, s.thread_id, s.user_id;
