INSERT INTO ops.media_inventories (source, taken_at, objects, bytes, added, altered)
SELECT
    %(source)s, %(taken_at)s, count(*), coalesce(sum(m.bytes), 0), %(added)s, %(altered)s
FROM ops.media_objects AS m
RETURNING source, taken_at, objects, bytes, added, altered;
