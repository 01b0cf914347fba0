-- security_invoker: a view that ran as its owner would show every tenant's rows.
-- Columns are listed, because fm.* would freeze whatever the table had on this day.
CREATE VIEW active_family_members WITH (security_invoker = true) AS
SELECT
    fm.id,
    fm.family_id,
    fm.user_id,
    fm.role,
    fm.joined_at,
    fm.invited_by,
    fm.is_active,
    fm.permissions,
    u.display_name,
    u.email,
    u.avatar_url,
    f.name AS family_name
FROM family_members AS fm
JOIN users AS u ON u.id = fm.user_id
JOIN families AS f ON f.id = fm.family_id
WHERE fm.is_active
  AND u.is_active
  AND f.is_active;

-- One index probe a book and a thread: a filter on family_id or id reaches the base tables.
-- Deleted segments don't count, and 'mixed' segments count their photos and recordings.
CREATE VIEW memory_book_stats WITH (security_invoker = true) AS
SELECT
    mb.id,
    mb.family_id,
    mb.title,
    t.thread_count,
    s.segment_count,
    s.contributor_count,
    s.last_activity,
    s.photo_count,
    s.audio_count
FROM memory_books AS mb
CROSS JOIN LATERAL (
    SELECT count(*) AS thread_count
    FROM threads
    WHERE threads.memory_book_id = mb.id
) AS t
CROSS JOIN LATERAL (
    SELECT
        count(*) AS segment_count,
        count(DISTINCT cs.user_id) AS contributor_count,
        max(cs.created_at) AS last_activity,
        coalesce(sum(cardinality(cs.photo_urls)), 0)::bigint AS photo_count,
        count(cs.audio_url) AS audio_count
    FROM threads
    JOIN content_segments AS cs ON cs.thread_id = threads.id
    WHERE threads.memory_book_id = mb.id
      AND cs.is_deleted IS NOT TRUE
) AS s;
