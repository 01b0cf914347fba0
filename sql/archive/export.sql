-- name: thread_places
-- Each thread of the month with its family and its place: the threads of a family follow one another.
-- Wide rows are sorted by this one number in half the time that two uuids take. ACCESS SHARE; one
-- sort of narrow rows, and a scan of all threads where the planner finds that cheaper than lookups.
SELECT t.id, mb.family_id, row_number() OVER (ORDER BY mb.family_id, t.id) AS place
FROM (SELECT DISTINCT s.thread_id FROM {segments} AS s) AS of_month
JOIN threads AS t ON t.id = of_month.thread_id
LEFT JOIN memory_books AS mb ON mb.id = t.memory_book_id;

-- name: export_rows
-- Segments, or rows that belong to one each, with their family; those of one family, and of one of its
-- threads, lie together. {places} is thread_places. ACCESS SHARE; one sort within work_mem or on disk.
SELECT {columns}, placed.family_id AS {family}
FROM {rows}
LEFT JOIN ({places}) AS placed ON placed.id = s.thread_id
ORDER BY placed.place, s.thread_id, s.sequence_number, {key};

-- name: make_segment_families
-- An empty table of this session alone for what fill_segment_families puts there. Reads no row.
CREATE TEMPORARY TABLE segment_families AS
SELECT s.id, s.created_at, s.thread_id, s.sequence_number, mb.family_id, 0::bigint AS place
FROM {segments} AS s
LEFT JOIN memory_books AS mb ON false
LIMIT 0;

-- name: fill_segment_families
-- Each segment of the month with its place and its family, once for all tables but the segments
-- themselves. {places} is thread_places. ACCESS SHARE; writes some 100 bytes a segment.
INSERT INTO pg_temp.segment_families (id, created_at, thread_id, sequence_number, family_id, place)
SELECT s.id, s.created_at, s.thread_id, s.sequence_number, placed.family_id, placed.place
FROM {segments} AS s
LEFT JOIN ({places}) AS placed ON placed.id = s.thread_id;

-- name: analyze_segment_families
-- So that the planner knows how few they are. The other columns are sorted by alone.
ANALYZE pg_temp.segment_families (id);

-- name: export_rows_by_segment
-- Rows that belong to one segment each, s of segment_families, in the order of export_rows.
-- ACCESS SHARE; one sort within work_mem or on disk.
SELECT {columns}, s.family_id AS {family}
FROM {rows}
ORDER BY s.place, s.thread_id, s.sequence_number, {key};

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

-- name: export_shared_rows_by_segment
-- The same where the segments that they reach are those of segment_families. ACCESS SHARE.
SELECT {columns}, touched.family_id AS {family}
FROM (
    SELECT DISTINCT ON ({keys}) {keys}, ends.thread_id, f.family_id
    FROM ({ends}) AS ends
    JOIN pg_temp.segment_families AS f ON f.id = ends.segment_id
    ORDER BY {keys}, ends.thread_id
) AS touched
JOIN {rows} AS c ON {matches}
ORDER BY touched.family_id, touched.thread_id, {key};
