-- Objects that are gone.
DELETE FROM ops.media_objects AS m
WHERE NOT EXISTS (SELECT FROM pg_temp.media_seen AS s WHERE s.key = m.key);
