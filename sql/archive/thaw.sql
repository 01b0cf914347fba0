-- name: forget_waiting_links
-- Links that only a month which leaves again has brought.
DELETE FROM ops.waiting_links
WHERE thawed_month = %(month)s;

-- name: drop_empty
-- A table that a dead run created and never filled; ACCESS EXCLUSIVE for an instant on the tables
-- that its foreign keys reference.
DROP TABLE {archived};

-- name: create_thawed
-- A table of its own in the shape that the archive's parent adopts. SHARE ROW EXCLUSIVE on threads
-- and users for an instant, because of the foreign keys: only under a short lock_timeout.
CREATE TABLE {archived} (
    LIKE {parent} INCLUDING ALL,
    FOREIGN KEY (thread_id) REFERENCES threads (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users (id)
);

-- name: thaw_verdicts
-- Which segments may come back, and why others may not. Probes of threads, users, tombstones and
-- keys for each row, or hash joins. Its own transaction's temporary table.
CREATE TEMPORARY TABLE thaw_verdicts ON COMMIT DROP AS
SELECT
    s.id,
    CASE
        WHEN %(family_id)s::uuid IS NOT NULL AND mb.family_id IS DISTINCT FROM %(family_id)s
            THEN 'of other families'
        WHEN t.id IS NULL THEN 'thread erased'
        WHEN u.id IS NULL THEN 'author erased'
        WHEN e.id IS NOT NULL THEN 'segment erased'
        WHEN taken.id IS NOT NULL THEN 'sequence number taken by a newer segment'
    END AS left_out
FROM {segments} AS s
LEFT JOIN threads AS t ON t.id = s.thread_id
LEFT JOIN memory_books AS mb ON mb.id = t.memory_book_id
LEFT JOIN users AS u ON u.id = s.user_id
LEFT JOIN ops.erasures AS e ON e.kind = 'segment' AND e.id = s.id
LEFT JOIN content_segment_keys AS taken
    ON taken.thread_id = s.thread_id AND taken.sequence_number = s.sequence_number;

-- name: thaw_left_out
-- Segments that stay out, by reason.
SELECT left_out, count(*)
FROM thaw_verdicts
WHERE left_out IS NOT NULL
GROUP BY left_out
ORDER BY left_out;

-- name: thaw_waiting_links
-- Keeps links whose other end is not in the database, and inserts those of earlier thaws for which
-- this month brought the other end.
WITH arrived AS (
    DELETE FROM ops.waiting_links AS w
    USING content_segment_keys AS source, content_segment_keys AS target
    WHERE source.id = w.source_segment_id
      AND target.id = w.target_segment_id
    RETURNING
        w.id, w.source_segment_id, w.target_segment_id, w.link_type, w.created_by, w.created_at,
        w.metadata
), inserted AS (
    INSERT INTO content_links (
        id, source_segment_id, target_segment_id, link_type, created_by, created_at, metadata
    )
    SELECT a.*
    FROM arrived AS a
    WHERE EXISTS (SELECT FROM users AS u WHERE u.id = a.created_by)
    ON CONFLICT DO NOTHING
)
INSERT INTO ops.waiting_links (
    id, source_segment_id, target_segment_id, link_type, created_by, created_at, metadata,
    thawed_month
)
SELECT
    c.id, c.source_segment_id, c.target_segment_id, c.link_type, c.created_by, c.created_at,
    c.metadata, %(month)s
FROM {links} AS c
JOIN {archived} AS s ON s.id IN (c.source_segment_id, c.target_segment_id)
WHERE NOT EXISTS (
    SELECT
    FROM content_segment_keys AS source, content_segment_keys AS target
    WHERE source.id = c.source_segment_id
      AND target.id = c.target_segment_id
)
ON CONFLICT DO NOTHING;

-- name: thaw_keys
-- No trigger registers the rows of a table that stands alone.
INSERT INTO content_segment_keys (id, created_at, thread_id, sequence_number)
SELECT id, created_at, thread_id, sequence_number
FROM {archived};

-- name: thaw_left_out_links
-- How many did not come back although both ends are in the database.
SELECT count(*)
FROM {links} AS c
JOIN content_segment_keys AS source ON source.id = c.source_segment_id
JOIN content_segment_keys AS target ON target.id = c.target_segment_id
WHERE NOT EXISTS (SELECT FROM content_links AS live WHERE live.id = c.id);

-- name: thaw_left_out_narrations
-- How many did not come back although their segment did.
SELECT count(*)
FROM {narrations} AS c
JOIN {archived} AS s ON s.id = c.content_segment_id
WHERE NOT EXISTS (SELECT FROM photo_narrations AS live WHERE live.id = c.id);

-- name: thaw_left_out_tags
-- How many did not come back although their segment did.
SELECT count(*)
FROM {tags} AS c
JOIN {archived} AS s ON s.id = c.content_segment_id
WHERE NOT EXISTS (SELECT FROM content_tags AS live WHERE live.id = c.id);

-- name: thaw_links
-- Links of the segments that came back whose other end is in the database, in whatever month. A
-- link that another month's archive brought back before is there already.
INSERT INTO content_links
SELECT c.*
FROM {links} AS c
JOIN content_segment_keys AS source ON source.id = c.source_segment_id
JOIN content_segment_keys AS target ON target.id = c.target_segment_id
WHERE EXISTS (SELECT FROM users AS u WHERE u.id = c.created_by)
ON CONFLICT DO NOTHING;

-- name: thaw_narrations
-- What belongs to the segments that came back. Row locks on new rows only.
INSERT INTO photo_narrations
SELECT c.*
FROM {narrations} AS c
JOIN {archived} AS s ON s.id = c.content_segment_id
WHERE c.created_by IS NULL
   OR EXISTS (SELECT FROM users AS u WHERE u.id = c.created_by);

-- name: thaw_segments
-- Into a table that stands alone. Its foreign keys take KEY SHARE locks on threads and users: who
-- erases one of them waits for this transaction, or this one for him.
INSERT INTO {archived} ({columns})
SELECT {segment_columns}
FROM {segments} AS s
JOIN thaw_verdicts AS v ON v.id = s.id AND v.left_out IS NULL;

-- name: thaw_tags
-- What belongs to the segments that came back. Row locks on new rows only.
INSERT INTO content_tags
SELECT c.*
FROM {tags} AS c
JOIN {archived} AS s ON s.id = c.content_segment_id
WHERE EXISTS (SELECT FROM users AS u WHERE u.id = c.tagged_by);
