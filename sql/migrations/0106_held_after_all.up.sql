-- What was only kept beside a hold becomes wholly held with it, and holds that stand get what 0103 gives new ones.

-- As before, but for one change: all of a subject of which a part was held.
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
    ELSIF TG_OP = 'UPDATE' THEN
        IF NEW.whole AND (NEW.id, NEW.kind, NEW.hold_id) = (OLD.id, OLD.kind, OLD.hold_id) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'what a legal hold holds stays recorded until it is released'
        USING ERRCODE = 'restrict_violation', HINT = 'Release the hold: ft-ops hold release.';
END
$$;

-- As before, and whole where a part was recorded: a search before the hold may have found its own subject, or a
-- thread that has come into it since.
CREATE OR REPLACE FUNCTION ops.record_held(hold bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    alone regclass;
BEGIN
    UPDATE ops.held_subjects AS s
    SET whole = true
    FROM ops.legal_holds AS h
    WHERE h.id = hold
      AND s.hold_id = hold
      AND NOT s.whole
      AND (
          (s.kind = 'family' AND s.id = h.family_id)
          OR (s.kind = 'book' AND s.id = h.book_id)
          OR (s.kind = 'thread' AND s.id = h.thread_id)
          OR (s.kind = 'user' AND s.id = h.user_id)
      );
    INSERT INTO ops.held_subjects (id, kind, hold_id, whole)
    SELECT mb.id, 'book', hold, true
    FROM ops.held_subjects AS s
    JOIN public.memory_books AS mb ON mb.family_id = s.id
    WHERE s.hold_id = hold
      AND s.kind = 'family'
      AND s.whole
    ON CONFLICT DO NOTHING;
    UPDATE ops.held_subjects AS b
    SET whole = true
    FROM public.memory_books AS mb
    WHERE b.hold_id = hold
      AND b.kind = 'book'
      AND NOT b.whole
      AND mb.id = b.id
      AND EXISTS (
          SELECT
          FROM ops.held_subjects AS s
          WHERE s.hold_id = hold AND s.kind = 'family' AND s.id = mb.family_id AND s.whole
      );
    INSERT INTO ops.held_subjects (id, kind, hold_id, whole)
    SELECT t.id, 'thread', hold, true
    FROM ops.held_subjects AS s
    JOIN public.threads AS t ON t.memory_book_id = s.id
    WHERE s.hold_id = hold
      AND s.kind = 'book'
      AND s.whole
    ON CONFLICT DO NOTHING;
    UPDATE ops.held_subjects AS b
    SET whole = true
    FROM public.threads AS t
    WHERE b.hold_id = hold
      AND b.kind = 'thread'
      AND NOT b.whole
      AND t.id = b.id
      AND EXISTS (
          SELECT
          FROM ops.held_subjects AS s
          WHERE s.hold_id = hold AND s.kind = 'book' AND s.id = t.memory_book_id AND s.whole
      );
    IF EXISTS (SELECT FROM ops.legal_holds AS h WHERE h.id = hold AND h.user_id IS NOT NULL) THEN
        FOR alone IN SELECT relation FROM ops.months_alone() LOOP
            PERFORM ops.record_authors(alone);
        END LOOP;
    END IF;
END
$$;

-- A hold on a book that was erased before it was placed holds its threads, too.
INSERT INTO ops.held_subjects (id, kind, hold_id, whole)
SELECT DISTINCT t.id, 'thread', h.id, true
FROM ops.legal_holds AS h
JOIN ops.erasures AS b ON b.kind = 'book' AND b.id = h.book_id
JOIN ops.erasures AS t ON t.kind = 'thread' AND t.erased_at = b.erased_at
WHERE h.released_at IS NULL
ON CONFLICT DO NOTHING;

-- And the archives are searched once more for each: their earlier search knew less. What is erased waits for it.
SELECT ops.record_held(h.id), ops.search_again(h.id)
FROM ops.legal_holds AS h
WHERE h.released_at IS NULL;
