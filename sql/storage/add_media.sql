-- Objects that are new. A key comes once; should it come twice, the larger size counts.
INSERT INTO ops.media_objects AS m (key, bytes)
SELECT s.key, max(s.bytes)
FROM pg_temp.media_seen AS s
WHERE NOT EXISTS (SELECT FROM ops.media_objects AS known WHERE known.key = s.key)
GROUP BY s.key;
