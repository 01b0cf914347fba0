-- SHARE UPDATE EXCLUSIVE on the parent, SHARE ROW EXCLUSIVE on the tables that its foreign keys
-- reference, for the milliseconds of a catalog change: the partition is empty. The bounds carry
-- their offset, so the session's TimeZone does not move them.
ALTER TABLE {parent}
    ATTACH PARTITION {partition} FOR VALUES FROM ({lower}) TO ({upper});
