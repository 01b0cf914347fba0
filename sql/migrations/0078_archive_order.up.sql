-- The order of what the archive knows, by numbers: a clock may be set back.

-- Which of two generations, of whatever months, was read later. Those of earlier versions have none, and
-- come before.
CREATE SEQUENCE ops.archive_sequence;
ALTER TABLE ops.archive ADD COLUMN sequence bigint;
ALTER TABLE ops.audit_archive ADD COLUMN sequence bigint;
ALTER TABLE ops.waiting_rows ADD COLUMN sequence bigint;

-- The next number: behind every one that is known, also in a database that was recovered and has adopted
-- later ones.
CREATE FUNCTION ops.next_archive_sequence() RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    drawn bigint := nextval('ops.archive_sequence');
    known bigint := (
        SELECT max(s.sequence)
        FROM (
            SELECT sequence FROM ops.archive
            UNION ALL
            SELECT sequence FROM ops.audit_archive
            UNION ALL
            SELECT sequence FROM ops.waiting_rows
        ) AS s
    );
BEGIN
    WHILE drawn <= known LOOP
        drawn := nextval('ops.archive_sequence');
    END LOOP;
    RETURN drawn;
END
$$;
REVOKE EXECUTE ON FUNCTION ops.next_archive_sequence() FROM PUBLIC;

-- The moment of a row's last change: later than the one before whatever the clock says, because the
-- newest record of a row in the bucket is the one of the latest moment.
CREATE FUNCTION ops.date_generation() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    NEW.updated_at := greatest(clock_timestamp(), OLD.updated_at + interval '1 microsecond');
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION ops.date_generation() FROM PUBLIC;
DROP TRIGGER set_updated_at ON ops.archive;
CREATE TRIGGER set_updated_at BEFORE UPDATE ON ops.archive
    FOR EACH ROW EXECUTE FUNCTION ops.date_generation();

CREATE OR REPLACE FUNCTION ops.date_audit_generation() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    -- That the bucket knows it is no change of it.
    IF NEW.recorded_at IS NOT DISTINCT FROM OLD.recorded_at THEN
        NEW.updated_at := greatest(clock_timestamp(), OLD.updated_at + interval '1 microsecond');
    END IF;
    RETURN NEW;
END
$$;
