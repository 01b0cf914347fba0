-- The scans of our own estimates are nobody's use. Counters must have been flushed before.
UPDATE ops.index_usage AS known
SET scans = s.idx_scan
FROM pg_stat_user_indexes AS s
WHERE s.schemaname = known.schema_name
  AND s.indexrelname = known.index_name
  AND s.idx_scan <> known.scans;
