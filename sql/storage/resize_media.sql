-- Objects whose size is another one now.
UPDATE ops.media_objects AS m
SET bytes = s.bytes
FROM (SELECT key, max(bytes) AS bytes FROM pg_temp.media_seen GROUP BY key) AS s
WHERE m.key = s.key
  AND m.bytes <> s.bytes;
