-- Refused while a hold of a kind stands that the older schema doesn't know: it would hold no longer.
DO $$
DECLARE
    relation regclass;
BEGIN
    IF EXISTS (SELECT FROM ops.legal_holds WHERE num_nonnulls(book_id, thread_id) = 1) THEN
        RAISE EXCEPTION 'ops.legal_holds has holds on books or threads'
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Place them on their families, then delete these rows by hand.';
    END IF;
    FOR relation IN
        SELECT t.tgrelid::regclass
        FROM pg_trigger AS t
        JOIN pg_class AS c ON c.oid = t.tgrelid
        WHERE t.tgfoid = 'refuse_truncate'::regproc
          AND c.relkind = 'r'
    LOOP
        EXECUTE format('DROP TRIGGER keep_keys ON %s', relation);
    END LOOP;
END
$$;

DROP TRIGGER keep_held ON content_links;
DROP TRIGGER keep_held ON content_tags;
DROP TRIGGER keep_held ON photo_narrations;
-- CASCADE: the triggers of these functions, in months that stand alone too.
DROP FUNCTION ops.refuse_held_segment() CASCADE;
DROP FUNCTION ops.refuse_held_child() CASCADE;
DROP FUNCTION ops.refuse_held_key() CASCADE;
DROP FUNCTION ops.refuse_held_thread() CASCADE;
DROP FUNCTION ops.refuse_held_book() CASCADE;
DROP FUNCTION ops.refuse_held_party() CASCADE;
DROP FUNCTION ops.note_held_arrival() CASCADE;
DROP FUNCTION ops.place_hold() CASCADE;
DROP FUNCTION ops.keep_hold() CASCADE;
DROP FUNCTION ops.release_hold() CASCADE;
DROP FUNCTION ops.keep_held_subject() CASCADE;
DROP FUNCTION ops.refuse_held_truncate();
DROP FUNCTION ops.guard_segments(regclass);
DROP FUNCTION ops.count_holds();
DROP FUNCTION ops.record_held(bigint);
DROP FUNCTION ops.record_authors(regclass);
DROP FUNCTION ops.months_alone();
DROP FUNCTION ops.refuse_for_hold(text, bigint);
DROP FUNCTION ops.generated_columns(oid);
DROP FUNCTION ops.hold_on_book(uuid, uuid, uuid);
DROP FUNCTION ops.hold_within_thread(uuid);
DROP FUNCTION ops.hold_on_thread(uuid, uuid, uuid);
DROP FUNCTION ops.hold_on_key(uuid);
DROP FUNCTION ops.hold_on_segment(uuid, timestamptz, uuid, uuid);
DROP FUNCTION ops.refuse_older_snapshot();
DROP TABLE ops.hold_changes;
DROP TABLE ops.held_subjects;
DROP SEQUENCE ops.standing_holds;
DROP INDEX ops.legal_holds_standing;
ALTER TABLE ops.legal_holds
    DROP CONSTRAINT legal_holds_one_subject,
    DROP COLUMN archives_read_at,
    DROP COLUMN archived_months,
    DROP COLUMN thread_id,
    DROP COLUMN book_id,
    ADD CONSTRAINT legal_holds_one_subject CHECK (num_nonnulls(month, family_id, user_id) = 1);

-- A legal hold on a family or a user outlives the application's wish to delete them.
CREATE FUNCTION ops.refuse_held() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    family uuid;
    hold record;
BEGIN
    IF NOT EXISTS (SELECT FROM ops.legal_holds WHERE released_at IS NULL) THEN
        RETURN OLD;
    END IF;
    family := CASE TG_ARGV[0]
        WHEN 'family' THEN OLD.id
        WHEN 'book' THEN (to_jsonb(OLD) ->> 'family_id')::uuid
        WHEN 'thread' THEN (
            SELECT mb.family_id
            FROM public.memory_books AS mb
            WHERE mb.id = (to_jsonb(OLD) ->> 'memory_book_id')::uuid
        )
    END;
    SELECT h.id, h.reason INTO hold
    FROM ops.legal_holds AS h
    WHERE h.released_at IS NULL
      AND (h.family_id = family OR TG_ARGV[0] = 'user' AND h.user_id = OLD.id)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% % is under legal hold %', TG_ARGV[0], OLD.id, hold.id
            USING ERRCODE = 'restrict_violation', DETAIL = hold.reason,
                  HINT = 'It can be deleted once the hold is released.';
    END IF;
    RETURN OLD;
END
$$;

CREATE TRIGGER refuse_held BEFORE DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_held('user');
CREATE TRIGGER refuse_held BEFORE DELETE ON families
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_held('family');
CREATE TRIGGER refuse_held BEFORE DELETE ON memory_books
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_held('book');
CREATE TRIGGER refuse_held BEFORE DELETE ON threads
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_held('thread');
