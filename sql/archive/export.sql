-- name: export_content_links
-- Every link that touches a month's segments, also where its other end lies in another month.
-- The family is that of the end that lies here. ACCESS SHARE.
SELECT {columns}, mb.family_id
FROM (
    SELECT DISTINCT ON (ends.link_id) ends.link_id, ends.thread_id
    FROM (
        SELECT c.id AS link_id, s.thread_id
        FROM {segments} AS s
        JOIN {links} AS c ON c.source_segment_id = s.id
        UNION ALL
        SELECT c.id, s.thread_id
        FROM {segments} AS s
        JOIN {links} AS c ON c.target_segment_id = s.id
    ) AS ends
    ORDER BY ends.link_id, ends.thread_id
) AS touched
JOIN {links} AS c ON c.id = touched.link_id
LEFT JOIN threads AS t ON t.id = touched.thread_id
LEFT JOIN memory_books AS mb ON mb.id = t.memory_book_id
ORDER BY mb.family_id, touched.thread_id, c.id;

-- name: export_content_segments
-- A month's segments with their family, sorted so that the rows of one family, and of one of its
-- threads, lie together. ACCESS SHARE; one sort of the month within work_mem or on disk.
SELECT {columns}, mb.family_id
FROM {segments} AS s
LEFT JOIN threads AS t ON t.id = s.thread_id
LEFT JOIN memory_books AS mb ON mb.id = t.memory_book_id
ORDER BY mb.family_id, s.thread_id, s.sequence_number;

-- name: export_content_tags
-- The tags of a month's segments, in the order of the segments. ACCESS SHARE.
SELECT {columns}, mb.family_id
FROM {tags} AS c
JOIN {segments} AS s ON s.id = c.content_segment_id
LEFT JOIN threads AS t ON t.id = s.thread_id
LEFT JOIN memory_books AS mb ON mb.id = t.memory_book_id
ORDER BY mb.family_id, s.thread_id, s.sequence_number, c.id;

-- name: export_photo_narrations
-- The narrations of a month's segments, in the order of the segments. ACCESS SHARE.
SELECT {columns}, mb.family_id
FROM {narrations} AS c
JOIN {segments} AS s ON s.id = c.content_segment_id
LEFT JOIN threads AS t ON t.id = s.thread_id
LEFT JOIN memory_books AS mb ON mb.id = t.memory_book_id
ORDER BY mb.family_id, s.thread_id, s.sequence_number, c.id;
