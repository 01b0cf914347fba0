-- SHARE ROW EXCLUSIVE on a table that stands alone, for an instant: nobody inserts or updates
-- there until it is attached. Deletes pass, because those of a thread cascade into it.
CREATE OR REPLACE TRIGGER repair_in_progress BEFORE INSERT OR UPDATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_write_during_repair();
