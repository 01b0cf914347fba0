-- What was loaded last.
SELECT source, taken_at, objects, bytes, added, altered
FROM ops.media_inventories
ORDER BY id DESC
LIMIT 1;
