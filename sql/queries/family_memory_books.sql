-- Get Family Memory Books with Stats. $1: family id.
-- One row a book that is not private, the last active first, books without content last. A book
-- without a privacy setting counts as the family's. thread_count is counted, not the stored one.
-- Probes the keys of the family's threads and segments; ACCESS SHARE only.
SELECT
    mb.id,
    mb.family_id,
    mb.title,
    mb.description,
    mb.cover_image_url,
    mb.created_by,
    mb.is_collaborative,
    mb.privacy,
    mb.last_activity_at,
    mb.created_at,
    mb.updated_at,
    mb.metadata,
    mbs.thread_count,
    mbs.segment_count,
    mbs.contributor_count,
    mbs.last_activity,
    mbs.photo_count,
    mbs.audio_count,
    u.display_name AS created_by_name
FROM memory_books AS mb
JOIN memory_book_stats AS mbs ON mbs.id = mb.id AND mbs.family_id = mb.family_id
-- Left: whoever has left the family is no longer visible, his book is.
LEFT JOIN users AS u ON u.id = mb.created_by
WHERE mb.family_id = $1
  AND mb.privacy IS DISTINCT FROM 'private'
ORDER BY mbs.last_activity DESC NULLS LAST, mb.created_at DESC, mb.id;
