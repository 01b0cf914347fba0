-- A segment keeps its id and its number in its thread although it is in the archive alone: whoever else
-- took one of them would displace it, and it could never come back. Keys only, no content.

CREATE TABLE ops.purged_segments (
    id uuid PRIMARY KEY,
    thread_id uuid NOT NULL,
    sequence_number integer NOT NULL
);
CREATE INDEX purged_segments_thread ON ops.purged_segments (thread_id, sequence_number);

-- AFTER, and so with a snapshot of its own: a row that waits on the unique index for the purge that
-- removes its rival's key is inserted once that has ended, and what it recorded is seen. Two probes of
-- indexes for each new segment.
CREATE FUNCTION ops.refuse_purged_identity() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM ops.purged_segments AS p WHERE p.id = NEW.id
        UNION ALL
        SELECT
        FROM ops.purged_segments AS p
        WHERE p.thread_id = NEW.thread_id
          AND p.sequence_number = NEW.sequence_number
    ) THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM ops.purged_segments AS p WHERE p.id = NEW.id) THEN
        RAISE EXCEPTION 'segment % is in the archive, and its id is not used again', NEW.id
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'purged_identity',
                  HINT = 'Insert it under a new id.';
    END IF;
    RAISE EXCEPTION 'number % of thread % is that of a segment in the archive',
        NEW.sequence_number, NEW.thread_id
        USING ERRCODE = 'unique_violation', CONSTRAINT = 'purged_identity',
              HINT = format(
                  'The next free number is %s.',
                  1 + greatest(
                      (
                          SELECT max(p.sequence_number)
                          FROM ops.purged_segments AS p
                          WHERE p.thread_id = NEW.thread_id
                      ),
                      (
                          SELECT max(k.sequence_number)
                          FROM public.content_segment_keys AS k
                          WHERE k.thread_id = NEW.thread_id
                      )
                  )
              );
END
$$;

CREATE TRIGGER refuse_purged_identity
    AFTER INSERT OR UPDATE OF thread_id, sequence_number ON content_segment_keys
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_purged_identity();

-- A deleted thread has no numbers, and its tombstone says what may not come back.
CREATE FUNCTION ops.forget_purged_segments() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM ops.purged_segments WHERE thread_id = OLD.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER forget_purged_segments AFTER DELETE ON threads
    FOR EACH ROW EXECUTE FUNCTION ops.forget_purged_segments();

REVOKE EXECUTE ON FUNCTION ops.refuse_purged_identity(), ops.forget_purged_segments() FROM PUBLIC;
GRANT SELECT ON ops.purged_segments TO ft_readonly;
