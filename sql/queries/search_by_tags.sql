-- Search Content by Tags. $1: user id, $2: tag names.
-- The 50 newest segments, of the families where the user is an active member, that carry at
-- least one of these tags, each with all of its tags in alphabetical order.
-- The registry of keys leads to the segments: it knows each one's partition, so that a hit costs
-- one probe however many months there are. ACCESS SHARE only.
SELECT
    cs.*,
    mb.title AS memory_book_title,
    t.title AS thread_title,
    (
        SELECT array_agg(DISTINCT ct.tag_name)
        FROM content_tags AS ct
        WHERE ct.content_segment_id = cs.id
    ) AS tags
FROM family_members AS fm
JOIN memory_books AS mb ON mb.family_id = fm.family_id
JOIN threads AS t ON t.memory_book_id = mb.id
JOIN content_segment_keys AS k ON k.thread_id = t.id
JOIN content_segments AS cs ON cs.id = k.id AND cs.created_at = k.created_at
WHERE fm.user_id = $1
  AND fm.is_active
  AND cs.is_deleted IS NOT TRUE
  AND EXISTS (
      SELECT
      FROM content_tags AS ct
      WHERE ct.content_segment_id = k.id
        AND ct.tag_name = ANY ($2::text[])
  )
ORDER BY k.created_at DESC, k.id
LIMIT 50;
