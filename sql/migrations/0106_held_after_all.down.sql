-- The functions as they were; what has become held stays held.
CREATE OR REPLACE FUNCTION ops.record_held(hold bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    alone regclass;
BEGIN
    INSERT INTO ops.held_subjects (id, kind, hold_id, whole)
    SELECT mb.id, 'book', hold, true
    FROM ops.held_subjects AS s
    JOIN public.memory_books AS mb ON mb.family_id = s.id
    WHERE s.hold_id = hold
      AND s.kind = 'family'
      AND s.whole
    ON CONFLICT DO NOTHING;
    INSERT INTO ops.held_subjects (id, kind, hold_id, whole)
    SELECT t.id, 'thread', hold, true
    FROM ops.held_subjects AS s
    JOIN public.threads AS t ON t.memory_book_id = s.id
    WHERE s.hold_id = hold
      AND s.kind = 'book'
      AND s.whole
    ON CONFLICT DO NOTHING;
    IF EXISTS (SELECT FROM ops.legal_holds AS h WHERE h.id = hold AND h.user_id IS NOT NULL) THEN
        FOR alone IN SELECT relation FROM ops.months_alone() LOOP
            PERFORM ops.record_authors(alone);
        END LOOP;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION ops.keep_held_subject() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF NOT EXISTS (
            SELECT FROM ops.legal_holds AS h WHERE h.id = OLD.hold_id AND h.released_at IS NULL
        ) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'what a legal hold holds stays recorded until it is released'
        USING ERRCODE = 'restrict_violation', HINT = 'Release the hold: ft-ops hold release.';
END
$$;
