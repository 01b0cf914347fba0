-- The months that the log names: directly, and through threads that moved to another book. A
-- thread's months are looked up in this snapshot, so that it does not matter what its mover saw.
-- One index probe a partition and moved thread.
SELECT c.month
FROM ops.storage_changes AS c
WHERE c.month IS NOT NULL
UNION
SELECT date_trunc('month', cs.created_at AT TIME ZONE 'UTC')::date
FROM content_segments AS cs
WHERE cs.thread_id IN (
    SELECT c.thread_id FROM ops.storage_changes AS c WHERE c.thread_id IS NOT NULL
);
