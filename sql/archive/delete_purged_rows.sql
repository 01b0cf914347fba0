-- Rows whose key is gone: those that a purge has removed. The table stands alone, so no trigger
-- takes them for erased by the application.
DELETE FROM {table} AS s
WHERE NOT EXISTS (SELECT FROM content_segment_keys AS k WHERE k.id = s.id);
