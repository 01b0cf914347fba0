-- Scratch rows of erased authors and threads, and those erased one by one. A family takes its
-- threads along, each with a tombstone of its own.
DELETE FROM {segments} AS s
WHERE s.user_id IN (SELECT id FROM ops.erasures WHERE kind = 'user')
   OR s.thread_id IN (SELECT id FROM ops.erasures WHERE kind = 'thread')
   OR s.id IN (SELECT id FROM ops.erasures WHERE kind = 'segment');
