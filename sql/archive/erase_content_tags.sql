-- Scratch rows by erased users, and those whose segment is gone.
DELETE FROM {tags} AS c
WHERE c.tagged_by IN (SELECT id FROM ops.erasures WHERE kind = 'user')
   OR c.content_segment_id NOT IN (SELECT id FROM {segments});
