-- Rows whose thread is gone. None in ordinary life: one hash anti-join of the month with threads.
DELETE FROM {archived} AS s
WHERE NOT EXISTS (SELECT FROM threads AS t WHERE t.id = s.thread_id);
