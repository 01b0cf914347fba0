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
