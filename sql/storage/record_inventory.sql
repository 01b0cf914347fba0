-- One row a loaded inventory, with the totals of what is known now: one scan of media_objects.
INSERT INTO ops.media_inventories (source, taken_at, objects, bytes, added, altered)
SELECT
    %(source)s, %(taken_at)s, count(*), coalesce(sum(m.bytes), 0), %(added)s, %(altered)s
FROM ops.media_objects AS m
RETURNING source, taken_at, objects, bytes, added, altered;
