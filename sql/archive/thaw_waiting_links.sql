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
