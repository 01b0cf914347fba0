-- What a table was set to when it was looked at: evidence of before a change says nothing of the
-- settings after it. And how far transaction ids were, by which the next look tells an old horizon from
-- that of a replica which keeps up. NULL of looks that were taken before.
ALTER TABLE ops.table_activity
    ADD COLUMN vacuum_settings text,
    ADD COLUMN fillfactor integer,
    ADD COLUMN next_xid bigint;
