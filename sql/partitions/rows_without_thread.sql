-- Rows whose thread or user is gone. None in ordinary life: two hash anti-joins.
SELECT count(*)
FROM {table} AS s
WHERE NOT EXISTS (SELECT FROM threads AS t WHERE t.id = s.thread_id)
   OR NOT EXISTS (SELECT FROM users AS u WHERE u.id = s.user_id);
