-- name: export_rows
-- Rows that belong to one segment each, or the segments, with their family; those of one family, and
-- of one of its threads, lie together. ACCESS SHARE; one sort within work_mem or on disk.
SELECT {columns}, mb.family_id AS {family}
FROM {rows}
LEFT JOIN threads AS t ON t.id = s.thread_id
LEFT JOIN memory_books AS mb ON mb.id = t.memory_book_id
ORDER BY mb.family_id, s.thread_id, s.sequence_number, {key};

-- name: export_plain_rows
-- Rows of a table without threads, the audit log's: of no family. ACCESS SHARE; one sort within
-- work_mem or on disk.
SELECT {columns}, NULL::uuid AS {family}
FROM {rows}
ORDER BY {key};

-- name: export_shared_rows
-- Every shared row that reaches a segment of the month, also where its others lie in other months.
-- The family is that of a segment that lies here. ACCESS SHARE.
SELECT {columns}, mb.family_id AS {family}
FROM (
    SELECT DISTINCT ON ({keys}) {keys}, ends.thread_id
    FROM ({ends}) AS ends
    ORDER BY {keys}, ends.thread_id
) AS touched
JOIN {rows} AS c ON {matches}
LEFT JOIN threads AS t ON t.id = touched.thread_id
LEFT JOIN memory_books AS mb ON mb.id = t.memory_book_id
ORDER BY mb.family_id, touched.thread_id, {key};
