-- Keys of the month whose segment is gone, and by their cascade what belonged to it. One range of
-- idx_content_segment_keys_created, anti-joined with the month.
DELETE FROM content_segment_keys AS k
WHERE k.created_at >= %(lower)s
  AND k.created_at < %(upper)s
  AND NOT EXISTS (
      SELECT FROM {archived} AS s WHERE s.id = k.id AND s.created_at = k.created_at
  );
