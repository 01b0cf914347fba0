-- What belongs to the segments that came back. Row locks on new rows only.
INSERT INTO photo_narrations
SELECT c.*
FROM {narrations} AS c
JOIN {archived} AS s ON s.id = c.content_segment_id
WHERE c.created_by IS NULL
   OR EXISTS (SELECT FROM users AS u WHERE u.id = c.created_by);
