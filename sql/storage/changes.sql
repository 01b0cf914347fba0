-- name: marks
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

-- name: recorded_months
-- What the rollup holds, one row a month.
SELECT
    month, segments, recordings + photos AS media, unsized, signature, media_added, media_altered
FROM ops.storage_months
ORDER BY month;

-- name: partition_signatures
-- What each attached partition of content_segments is, in one text that changes whenever rows
-- may have come or gone without a mark: another table, a rewrite or TRUNCATE (relfilenode),
-- detached and attached again (the row of pg_inherits), a trigger dropped, made again, disabled
-- or enabled (the rows of pg_trigger), a trigger's function replaced (pg_proc). NULL where marks
-- can't be relied on: a trigger is missing or not ALWAYS enabled, or the partition is itself
-- partitioned or foreign. Rows of the catalog are told apart by their xmin.
-- bytes is the size of its heap, which bounds what one statement counts: ACCESS SHARE on each for a
-- moment, but for those that are locked, whose pages the last vacuum counted. Else catalog reads.
SELECT
    child.relname AS name,
    bounds.parts[1]::timestamptz AS lower,
    bounds.parts[2]::timestamptz AS upper,
    CASE
        WHEN child.relkind = 'r' AND marks.complete AND moves.complete
            THEN concat_ws(
                ' ', child.oid, child.relfilenode, link.xmin, marks.identity, moves.identity
            )
    END AS signature,
    CASE
        WHEN child.oid = ANY (%(locked)s::oid[])
            THEN child.relpages * current_setting('block_size')::bigint
        ELSE coalesce(pg_relation_size(child.oid), 0)
    END AS bytes
FROM pg_inherits AS link
JOIN pg_class AS child ON child.oid = link.inhrelid
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE t.tgenabled = 'A') = 3 AS complete,
        string_agg(concat_ws('/', t.oid, t.xmin, p.xmin), ',' ORDER BY t.oid) AS identity
    FROM pg_trigger AS t
    JOIN pg_proc AS p ON p.oid = t.tgfoid
    WHERE t.tgrelid = child.oid
      AND t.tgfoid = 'ops.note_changed_content'::regproc
) AS marks
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE t.tgenabled = 'A') = 1 AS complete,
        string_agg(concat_ws('/', t.oid, t.xmin, p.xmin), ',' ORDER BY t.oid) AS identity
    FROM pg_trigger AS t
    JOIN pg_proc AS p ON p.oid = t.tgfoid
    WHERE t.tgrelid = 'threads'::regclass
      AND t.tgfoid = 'ops.note_moved_thread'::regproc
) AS moves
LEFT JOIN LATERAL regexp_match(
    pg_get_expr(child.relpartbound, 0),
    -- From the year 1000 to 8999: no other bound is of months that can be counted.
    'FROM \(''([1-8]\d\d\d-[^''B]+)''\) TO \(''([1-8]\d\d\d-[^''B]+)''\)'
) AS bounds (parts) ON true
WHERE link.inhparent = 'content_segments'::regclass
  AND NOT link.inhdetachpending
ORDER BY lower, name;
