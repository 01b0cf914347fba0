-- No trigger registers the rows of a table that stands alone.
INSERT INTO content_segment_keys (id, created_at, thread_id, sequence_number)
SELECT id, created_at, thread_id, sequence_number
FROM {archived};
