-- Tables that later migrations brought are held no more.

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
    PERFORM ops.count_holds();
    PERFORM ops.record_held(NEW.id);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION ops.guard_segments(relation regclass) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER keep_keys BEFORE TRUNCATE ON %s '
        'FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate()',
        relation
    );
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER refuse_held_alone BEFORE UPDATE OR DELETE ON %s '
        'FOR EACH ROW WHEN (pg_sequence_last_value(''ops.standing_holds'') IS DISTINCT FROM 0) '
        'EXECUTE FUNCTION ops.refuse_held_segment()',
        relation
    );
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER refuse_held_alone', relation);
    PERFORM ops.record_authors(relation);
END
$$;

DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN
        SELECT tg.tgrelid::regclass
        FROM pg_trigger AS tg
        WHERE tg.tgfoid = 'ops.refuse_held_row()'::regprocedure
          AND tg.tgparentid = 0
        ORDER BY tg.tgrelid::regclass::text
    LOOP
        EXECUTE format('DROP TRIGGER refuse_held ON %s', relation);
        EXECUTE format('DROP TRIGGER keep_held ON %s', relation);
    END LOOP;
END
$$;

DROP FUNCTION ops.guard_content();
DROP FUNCTION ops.refuse_held_row();
DROP FUNCTION ops.hold_on_row(regclass, jsonb);
DROP FUNCTION ops.content_tables();

ALTER TABLE photo_narrations ENABLE TRIGGER keep_held;
ALTER TABLE content_tags ENABLE TRIGGER keep_held;
ALTER TABLE content_links ENABLE TRIGGER keep_held;
ALTER TABLE content_segment_keys ENABLE TRIGGER keep_keys;
