-- Autovacuum doesn't see a session's own table: without statistics a batch is planned as a scan.
ANALYZE purge_ids;
