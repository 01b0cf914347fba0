-- The functions as they were.
CREATE OR REPLACE FUNCTION ops.hold_on_row(relation regclass, line jsonb) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    reference record;
    above jsonb;
    hold bigint;
BEGIN
    FOR reference IN
        SELECT
            con.confrelid::regclass AS parent,
            (
                SELECT string_agg(format('p.%I = c.%I', pa.attname, ca.attname), ' AND ')
                FROM unnest(con.conkey, con.confkey) AS k (child, parent)
                JOIN pg_attribute AS ca ON ca.attrelid = con.conrelid AND ca.attnum = k.child
                JOIN pg_attribute AS pa ON pa.attrelid = con.confrelid AND pa.attnum = k.parent
            ) AS matches
        FROM pg_constraint AS con
        WHERE con.conrelid = relation
          AND con.contype = 'f'
          AND (con.confdeltype = 'c' OR con.confrelid = 'public.users'::regclass)
    LOOP
        EXECUTE format(
            'SELECT to_jsonb(p) FROM %s AS p, jsonb_populate_record(NULL::%s, $1) AS c WHERE %s',
            reference.parent, relation, reference.matches
        ) INTO above USING line;
        CONTINUE WHEN above IS NULL;
        CASE reference.parent
            WHEN 'public.content_segment_keys'::regclass THEN
                hold := ops.hold_on_key((above ->> 'id')::uuid);
            WHEN 'public.threads'::regclass THEN
                hold := ops.hold_on_thread(
                    (above ->> 'id')::uuid, (above ->> 'memory_book_id')::uuid,
                    (above ->> 'started_by')::uuid
                );
            WHEN 'public.memory_books'::regclass THEN
                hold := ops.hold_on_book(
                    (above ->> 'id')::uuid, (above ->> 'family_id')::uuid,
                    (above ->> 'created_by')::uuid
                );
            WHEN 'public.users'::regclass, 'public.families'::regclass THEN
                SELECT s.hold_id INTO hold
                FROM ops.held_subjects AS s
                WHERE s.id = (above ->> 'id')::uuid
                  AND s.kind = CASE reference.parent
                      WHEN 'public.users'::regclass THEN 'user' ELSE 'family' END
                  AND s.whole
                LIMIT 1;
            ELSE
                hold := ops.hold_on_row(reference.parent, above);
        END CASE;
        EXIT WHEN hold IS NOT NULL;
    END LOOP;
    RETURN hold;
END
$$;

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
    WHERE v.id IS NOT NULL;
    -- Most of it before the lock, and then what came meanwhile: whoever changes content waits for the
    -- second part only.
    PERFORM ops.record_held(NEW.id);
    PERFORM ops.guard_content();
    PERFORM ops.count_holds();
    PERFORM ops.record_held(NEW.id);
    RETURN NULL;
END
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
    END LOOP;
    RETURN NULL;
END
$$;

DROP FUNCTION ops.search_again(bigint);
ALTER TABLE ops.legal_holds DROP COLUMN arrivals;
