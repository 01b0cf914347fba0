-- Row locks on some thousand keys and on the narrations, tags and links that their cascade
-- takes; the foreign keys' indexes serve it.
DELETE FROM content_segment_keys AS k
USING purge_ids AS p
WHERE p.bucket = ANY (%(buckets)s)
  AND k.id = p.id;
