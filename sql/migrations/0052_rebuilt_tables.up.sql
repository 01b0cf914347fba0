-- The table of a rebuilt index by its identity: an archived month's table has another name than when
-- its index was rebuilt, and what the rebuild left is still on it. Unknown of rebuilds before this.
ALTER TABLE ops.index_rebuilds ADD COLUMN table_oid oid;
