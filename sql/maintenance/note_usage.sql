-- Compares every index's scans with those of the last look: more of them, or a counter that began
-- anew, mean that it is in use. Reads statistics, writes a row an index.
INSERT INTO ops.index_usage AS known (schema_name, index_name, scans, unused_since)
SELECT schemaname, indexrelname, idx_scan, %(now)s
FROM pg_stat_user_indexes
ON CONFLICT (schema_name, index_name) DO UPDATE
SET scans = excluded.scans, unused_since = excluded.unused_since
WHERE known.scans <> excluded.scans;
