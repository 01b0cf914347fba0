-- name: tombstones
-- Everything that was erased, but books: their threads say the same. A few rows a day.
SELECT kind, id, month, erased_at
FROM ops.erasures
WHERE kind <> 'book';

-- name: erase_content_links
-- Scratch rows by erased users, of erased segments, and those none of whose ends is left in this
-- month.
DELETE FROM {links} AS c
WHERE c.created_by IN (SELECT id FROM ops.erasures WHERE kind = 'user')
   OR c.source_segment_id IN (SELECT id FROM ops.erasures WHERE kind = 'segment')
   OR c.target_segment_id IN (SELECT id FROM ops.erasures WHERE kind = 'segment')
   OR (
       c.source_segment_id NOT IN (SELECT id FROM {segments})
       AND c.target_segment_id NOT IN (SELECT id FROM {segments})
   );

-- name: erase_content_segments
-- Scratch rows of erased authors and threads, and those erased one by one. A family takes its
-- threads along, each with a tombstone of its own.
DELETE FROM {segments} AS s
WHERE s.user_id IN (SELECT id FROM ops.erasures WHERE kind = 'user')
   OR s.thread_id IN (SELECT id FROM ops.erasures WHERE kind = 'thread')
   OR s.id IN (SELECT id FROM ops.erasures WHERE kind = 'segment');

-- name: erase_content_tags
-- Scratch rows by erased users, and those whose segment is gone.
DELETE FROM {tags} AS c
WHERE c.tagged_by IN (SELECT id FROM ops.erasures WHERE kind = 'user')
   OR c.content_segment_id NOT IN (SELECT id FROM {segments});

-- name: erase_photo_narrations
-- Scratch rows by erased users, and those whose segment is gone.
DELETE FROM {narrations} AS c
WHERE c.created_by IN (SELECT id FROM ops.erasures WHERE kind = 'user')
   OR c.content_segment_id NOT IN (SELECT id FROM {segments});
