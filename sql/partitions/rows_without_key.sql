-- Rows whose key is missing or says otherwise. One hash join of the table with its month's keys.
SELECT count(*)
FROM {table} AS s
LEFT JOIN content_segment_keys AS k
    ON k.id = s.id
   AND k.created_at = s.created_at
   AND k.thread_id = s.thread_id
   AND k.sequence_number = s.sequence_number
WHERE k.id IS NULL;
