-- The functions as they were.
CREATE OR REPLACE FUNCTION ops.place_hold() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    INSERT INTO ops.held_subjects (id, kind, hold_id, whole)
    SELECT v.id, v.kind, NEW.id, true
    FROM (VALUES
        (NEW.family_id, 'family'),
        (NEW.book_id, 'book'),
        (NEW.thread_id, 'thread'),
        (NEW.user_id, 'user')
    ) AS v (id, kind)
    WHERE v.id IS NOT NULL
    UNION
    SELECT t.id, 'thread', NEW.id, true
    FROM ops.erasures AS b
    JOIN ops.erasures AS t ON t.erased_at = b.erased_at AND t.kind = 'thread'
    WHERE b.kind = 'book'
      AND b.id = NEW.book_id
    ON CONFLICT DO NOTHING;
    -- Most of it before the lock, and then what came meanwhile: whoever changes content waits for the
    -- second part only.
    PERFORM ops.record_held(NEW.id);
    PERFORM ops.guard_content();
    PERFORM ops.count_holds();
    PERFORM ops.record_held(NEW.id);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION ops.search_again(hold bigint) RETURNS void
    LANGUAGE sql
    AS $$
    UPDATE ops.legal_holds AS h
    SET archived_months = NULL, archives_read_at = NULL, arrivals = coalesce(h.arrivals, 0) + 1
    WHERE h.id = hold
      AND h.released_at IS NULL
      AND (
          h.archived_months IS NOT NULL
          OR h.arrivals IS NULL
          OR h.xmin <> pg_current_xact_id()::xid
      )
$$;

CREATE OR REPLACE FUNCTION ops.refuse_held_key() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    AS $$
DECLARE
    hold bigint;
    leaves boolean := true;
BEGIN
    PERFORM ops.refuse_older_snapshot();
    IF TG_OP = 'UPDATE' THEN
        IF NEW *= OLD THEN
            RETURN NEW;
        END IF;
        leaves := (NEW.id, NEW.thread_id) <> (OLD.id, OLD.thread_id);
    END IF;
    hold := ops.hold_on_key(OLD.id);
    IF hold IS NULL AND leaves THEN
        hold := ops.hold_on_end(OLD.id, TG_RELID);
    END IF;
    IF hold IS NOT NULL THEN
        PERFORM ops.refuse_for_hold(format('segment %s', OLD.id), hold);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF leaves THEN
        PERFORM ops.search_again(s.hold_id)
        FROM ops.held_subjects AS s
        WHERE s.id = NEW.thread_id AND s.kind = 'thread' AND s.whole;
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION ops.note_held_arrival() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    AS $$
DECLARE
    above uuid;
    kind_above text;
    hold bigint;
BEGIN
    IF TG_TABLE_NAME = 'threads' THEN
        above := NEW.memory_book_id;
        kind_above := 'book';
        IF TG_OP = 'UPDATE' AND above = OLD.memory_book_id THEN
            RETURN NULL;
        END IF;
    ELSE
        above := NEW.family_id;
        kind_above := 'family';
        IF TG_OP = 'UPDATE' AND above = OLD.family_id THEN
            RETURN NULL;
        END IF;
    END IF;
    PERFORM ops.refuse_older_snapshot();
    FOR hold IN
        SELECT s.hold_id
        FROM ops.held_subjects AS s
        WHERE s.id = above AND s.kind = kind_above AND s.whole
    LOOP
        PERFORM ops.record_held(hold);
        IF TG_OP = 'UPDATE' OR EXISTS (
            SELECT FROM ops.withdrawn_erasures AS w
            WHERE w.id = NEW.id AND w.kind IN ('book', 'thread')
        ) THEN
            PERFORM ops.search_again(hold);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

ALTER TABLE ops.legal_holds DROP COLUMN arrived_in;
DROP TRIGGER await_content ON ops.legal_holds;
DROP FUNCTION ops.await_content();
DROP FUNCTION ops.guard_and_count();
DROP FUNCTION ops.in_short_waits(text);
