-- This session's own.
DROP TABLE IF EXISTS pg_temp.purge_ids;
