CREATE OR REPLACE FUNCTION ops.date_audit_generation() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    -- That the bucket knows it is no change of it.
    IF NEW.recorded_at IS NOT DISTINCT FROM OLD.recorded_at THEN
        NEW.updated_at := clock_timestamp();
    END IF;
    RETURN NEW;
END
$$;
DROP TRIGGER set_updated_at ON ops.archive;
CREATE TRIGGER set_updated_at BEFORE UPDATE ON ops.archive
    FOR EACH ROW EXECUTE FUNCTION public.set_updated_at();
DROP FUNCTION ops.date_generation();
DROP FUNCTION ops.next_archive_sequence();
ALTER TABLE ops.waiting_rows DROP COLUMN sequence;
ALTER TABLE ops.audit_archive DROP COLUMN sequence;
ALTER TABLE ops.archive DROP COLUMN sequence;
DROP SEQUENCE ops.archive_sequence;
