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
