-- Whose content of which month the log names: directly, and through threads that moved to another
-- book. What a thread holds is looked up in this snapshot, so that it does not matter what its
-- mover saw. The users themselves come only where they are at most %(most)s.
-- Reads the whole log, and probes one index a partition and moved thread.
SELECT
    marks.month,
    count(*) AS users,
    CASE WHEN count(*) <= %(most)s THEN array_agg(marks.user_id) END AS user_ids
FROM (
    SELECT c.month, c.user_id
    FROM ops.storage_changes AS c
    WHERE c.thread_id IS NULL
    UNION
    SELECT date_trunc('month', cs.created_at AT TIME ZONE 'UTC')::date, cs.user_id
    FROM content_segments AS cs
    WHERE cs.thread_id IN (
        SELECT c.thread_id FROM ops.storage_changes AS c WHERE c.thread_id IS NOT NULL
    )
) AS marks
GROUP BY marks.month;
