ALTER TABLE ops.table_activity
    DROP COLUMN vacuum_settings,
    DROP COLUMN fillfactor,
    DROP COLUMN next_xid;
