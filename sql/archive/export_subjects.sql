-- Whose content a month holds, as authors, narrators, taggers or linkers: what an erasure has to
-- know without restoring it. One aggregate over the month and what belongs to it. ACCESS SHARE.
SELECT mb.family_id, one.thread_id, one.user_id, sum(one.segments) AS segments
FROM (
    SELECT s.thread_id, s.user_id, 1 AS segments
    FROM {segments} AS s
    UNION ALL
    SELECT s.thread_id, c.created_by, 0
    FROM {narrations} AS c
    JOIN {segments} AS s ON s.id = c.content_segment_id
    WHERE c.created_by IS NOT NULL
    UNION ALL
    SELECT s.thread_id, c.tagged_by, 0
    FROM {tags} AS c
    JOIN {segments} AS s ON s.id = c.content_segment_id
    UNION ALL
    SELECT s.thread_id, c.created_by, 0
    FROM {links} AS c
    JOIN {segments} AS s ON s.id = c.source_segment_id
    UNION ALL
    SELECT s.thread_id, c.created_by, 0
    FROM {links} AS c
    JOIN {segments} AS s ON s.id = c.target_segment_id
) AS one
LEFT JOIN threads AS t ON t.id = one.thread_id
LEFT JOIN memory_books AS mb ON mb.id = t.memory_book_id
GROUP BY mb.family_id, one.thread_id, one.user_id
ORDER BY mb.family_id, one.thread_id, one.user_id;
