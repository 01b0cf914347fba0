-- Search Content by Tags. $1: user id, $2: tag names.
-- The 50 newest segments, of the families where the user is an active member, that carry at
-- least one of these tags, each with all of its tags in alphabetical order.
-- The registry of keys leads to the segments: it knows each one's partition, so that a hit costs
-- one probe however many months there are. MATERIALIZED, because the planner expects few
-- segments and would fetch them all before it looks at their tags. ACCESS SHARE only.
WITH hits AS MATERIALIZED (
    SELECT
        k.id,
        mb.title AS memory_book_title,
        t.title AS thread_title
    FROM family_members AS fm
    JOIN memory_books AS mb ON mb.family_id = fm.family_id
    JOIN threads AS t ON t.memory_book_id = mb.id
    JOIN content_segment_keys AS k ON k.thread_id = t.id
    WHERE fm.user_id = $1
      AND fm.is_active
      AND EXISTS (
          SELECT
          FROM content_tags AS ct
          WHERE ct.content_segment_id = k.id
            AND ct.tag_name = ANY ($2::text[])
      )
)

SELECT
    cs.*,
    hits.memory_book_title,
    hits.thread_title,
    (
        SELECT array_agg(DISTINCT ct.tag_name)
        FROM content_tags AS ct
        WHERE ct.content_segment_id = cs.id
    ) AS tags
FROM hits
JOIN newest_content(ARRAY(SELECT hits.id FROM hits), 50) AS cs ON cs.id = hits.id
ORDER BY cs.created_at DESC, cs.id;
