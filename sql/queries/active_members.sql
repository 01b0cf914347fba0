-- Active User Sessions: active family members in the last 30 days. $1: family id.
-- One row a member who is active and has logged in within them, the latest login first, with
-- what he has contributed to this family meanwhile; deleted segments don't count.
-- The time bound leaves the newest partitions only. ACCESS SHARE only.
SELECT
    fm.family_id,
    fm.user_id,
    fm.role,
    u.display_name,
    u.last_login_at,
    recent.recent_segments,
    recent.last_contribution
FROM family_members AS fm
JOIN users AS u ON u.id = fm.user_id
CROSS JOIN LATERAL (
    SELECT
        count(*) AS recent_segments,
        max(cs.created_at) AS last_contribution
    FROM content_segments AS cs
    JOIN threads AS t ON t.id = cs.thread_id
    JOIN memory_books AS mb ON mb.id = t.memory_book_id
    WHERE cs.user_id = fm.user_id
      AND cs.created_at > now() - interval '30 days'
      AND cs.is_deleted IS NOT TRUE
      AND mb.family_id = fm.family_id
) AS recent
WHERE fm.family_id = $1
  AND fm.is_active
  AND u.last_login_at > now() - interval '30 days'
ORDER BY u.last_login_at DESC, fm.user_id;
