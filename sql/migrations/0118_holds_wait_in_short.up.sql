-- Whoever places or releases a hold waits for open transactions that have changed content, and everybody who
-- changes content waits behind him meanwhile: by plain SQL, without a lock_timeout, for as long as the first of them
-- lasts. Now the functions themselves wait shortly, and try again. What comes into a hold in savepoints of one
-- transaction is noted once, too; and rows of several holds are locked in one order.

-- Runs a statement that takes locks which an application may queue behind: never waiting longer for one than it may
-- notice, and again after a pause in which the queue drains. Whoever has a shorter lock_timeout tries by himself.
CREATE FUNCTION ops.in_short_waits(work text) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    longest constant integer := 80;
    attempts constant integer := 40;
    asked constant integer := (
        SELECT s.setting::integer FROM pg_catalog.pg_settings AS s WHERE s.name = 'lock_timeout'
    );
BEGIN
    IF asked BETWEEN 1 AND longest THEN
        EXECUTE work;
        RETURN;
    END IF;
    FOR attempt IN 1..attempts LOOP
        BEGIN
            PERFORM set_config('lock_timeout', longest || 'ms', true);
            EXECUTE work;
            PERFORM set_config('lock_timeout', asked || 'ms', true);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            -- Its end has put lock_timeout back, and given up what the attempt has locked.
            PERFORM pg_sleep(least(0.02 * attempt, 0.3));
        END;
    END LOOP;
    RAISE EXCEPTION 'transactions that have changed content did not end within % attempts', attempts
        USING ERRCODE = 'lock_not_available',
              HINT = 'Wait for them, or end them, and try again: nothing was changed. '
                     'Who they are: pg_locks, relation ops.standing_holds.';
END
$$;
REVOKE EXECUTE ON FUNCTION ops.in_short_waits(text) FROM PUBLIC;

-- What takes these locks for a hold that is placed: the guards of tables that have none yet, and the count.
CREATE FUNCTION ops.guard_and_count() RETURNS void
    LANGUAGE sql
    AS $$
    SELECT ops.guard_content();
    SELECT ops.count_holds();
$$;
REVOKE EXECUTE ON FUNCTION ops.guard_and_count() FROM PUBLIC;

-- As before, and waiting shortly.
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
    PERFORM ops.in_short_waits('SELECT ops.guard_and_count()');
    PERFORM ops.record_held(NEW.id);
    RETURN NULL;
END
$$;

-- Before a release has locked the hold's own row, which somebody who moves content into it may wait for: he has
-- changed content by then, and would never end.
CREATE FUNCTION ops.await_content() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM ops.in_short_waits('SELECT ops.count_holds()');
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION ops.await_content() FROM PUBLIC;
CREATE TRIGGER await_content BEFORE UPDATE OF released_at ON ops.legal_holds
    FOR EACH STATEMENT EXECUTE FUNCTION ops.await_content();

-- The transaction in which something came into it last.
ALTER TABLE ops.legal_holds ADD COLUMN arrived_in xid8;

-- As before, and once in all savepoints of a transaction: a row that was written in one bears the number of that.
CREATE OR REPLACE FUNCTION ops.search_again(hold bigint) RETURNS void
    LANGUAGE sql
    AS $$
    UPDATE ops.legal_holds AS h
    SET archived_months = NULL,
        archives_read_at = NULL,
        arrivals = coalesce(h.arrivals, 0) + 1,
        arrived_in = pg_current_xact_id()
    WHERE h.id = hold
      AND h.released_at IS NULL
      AND (
          h.archived_months IS NOT NULL
          OR h.arrivals IS NULL
          OR h.arrived_in IS DISTINCT FROM pg_current_xact_id()
      )
$$;

-- As before, and of several holds always the first first: two transactions would wait for each other.
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
        WHERE s.id = NEW.thread_id AND s.kind = 'thread' AND s.whole
        ORDER BY s.hold_id;
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
        ORDER BY s.hold_id
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
