ALTER TABLE ops.index_rebuilds DROP COLUMN table_oid;
