-- name: replication_lag
-- Seconds that the slowest replica needs to replay, 0 without replicas. Needs pg_monitor.
SELECT coalesce(max(extract(epoch FROM replay_lag)), 0)
FROM pg_stat_replication;

-- name: canary
-- What the application does all day: some thread and its book, by their keys. A few pages.
SELECT mb.title
FROM threads AS t
JOIN memory_books AS mb ON mb.id = t.memory_book_id
WHERE t.id >= (SELECT gen_random_uuid())
ORDER BY t.id
LIMIT 1;
