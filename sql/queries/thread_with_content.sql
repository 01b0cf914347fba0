-- Get Thread with Content. $1: thread id.
-- One row, or none if there is no such thread. segments is a JSON array in the thread's order,
-- empty when nothing was said yet; deleted segments are left out.
-- One index probe a segment, however many months there are; ACCESS SHARE only.
SELECT
    t.*,
    coalesce(content.segments, '[]'::json) AS segments
FROM threads AS t
CROSS JOIN LATERAL (
    SELECT json_agg(tc ORDER BY tc.sequence_number) AS segments
    FROM (
        SELECT
            cs.*,
            u.display_name,
            u.avatar_url,
            narrations.photo_narrations
        FROM content_of_thread(t.id) AS cs
        -- Left: whoever has left the family is no longer visible, what he told is.
        LEFT JOIN users AS u ON u.id = cs.user_id
        CROSS JOIN LATERAL (
            SELECT
                array_agg(
                    json_build_object(
                        'index', pn.photo_index,
                        'narration', pn.narration_text,
                        'type', pn.narration_type
                    ) ORDER BY pn.photo_index
                ) AS photo_narrations
            FROM photo_narrations AS pn
            WHERE pn.content_segment_id = cs.id
        ) AS narrations
    ) AS tc
) AS content
WHERE t.id = $1;
