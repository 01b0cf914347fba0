-- SHARE ROW EXCLUSIVE on a table that stands alone, for an instant: a row that goes takes its key
-- along, as it would in an attached partition.
CREATE OR REPLACE TRIGGER repair_forget_key AFTER DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION forget_segment_key();
