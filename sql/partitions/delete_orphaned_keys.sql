-- Keys of a month whose thread was deleted while their table stood alone: the row went by the
-- cascade, its key, narrations, tags and links did not. Row locks on these keys only.
DELETE FROM content_segment_keys AS k
WHERE k.created_at >= %(lower)s
  AND k.created_at < %(upper)s
  AND NOT EXISTS (SELECT FROM threads AS t WHERE t.id = k.thread_id)
  AND NOT EXISTS (SELECT FROM {table} AS s WHERE s.id = k.id AND s.created_at = k.created_at);
