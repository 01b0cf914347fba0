-- A legal hold in the database itself: while it stands, whoever tries to delete, edit or move what it
-- holds is refused, on every path: directly, by a cascade, in a partition, in a month that stands
-- alone.
--
-- What counts as held:
--   month    every segment of that month, with its narrations, tags and links
--   family   the family, its books, their threads, and all content in them, whoever wrote it
--   book     the book, its threads, and all content in them
--   thread   the thread, and all content in it
--   user     the user, his segments, narrations, tags and links, and the books and threads that he
--            started, in whatever family they lie; and what others attached to his segments
-- What is added to a held thread, book or family later, or by a held user, is held as well. A thread
-- or book that merely contains something held stays where it is and can't be deleted.
--
-- What stays free, because it is no content: view_count and reaction_count of segments, the counters
-- of threads and books, updated_at, and everything of users and families but who they are.

ALTER TABLE ops.legal_holds
    ADD COLUMN book_id uuid,
    ADD COLUMN thread_id uuid,
    -- Months of the archive that held the subject's content when it was searched for it, and when.
    ADD COLUMN archived_months date[],
    ADD COLUMN archives_read_at timestamptz,
    DROP CONSTRAINT legal_holds_one_subject,
    ADD CONSTRAINT legal_holds_one_subject
        CHECK (num_nonnulls(month, family_id, book_id, thread_id, user_id) = 1);
CREATE INDEX legal_holds_standing ON ops.legal_holds (month) WHERE released_at IS NULL;

-- What standing holds hold, by identity: who belongs to a family was written down when it was held.
-- Rows go when their hold is released.
CREATE TABLE ops.held_subjects (
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('family', 'book', 'thread', 'user', 'segment')),
    hold_id bigint NOT NULL,
    -- true: all of it is held. false: it contains something that is, so it stays where it is.
    whole boolean NOT NULL,
    PRIMARY KEY (id, kind, hold_id)
);
CREATE INDEX held_subjects_hold ON ops.held_subjects (hold_id);

-- Which holds stand: 1 any, 2 on a month, 4 on a user, added up. A sequence, because it is asked for
-- each row that is changed: pg_sequence_last_value() answers in half a microsecond, a query takes ten
-- times as long. It answers what was committed last, whatever the snapshot, and takes ROW EXCLUSIVE
-- on the sequence until the transaction ends. ALTER SEQUENCE … RESTART, by which a hold is placed and
-- released, takes SHARE ROW EXCLUSIVE and is undone with its transaction. So no hold slips in between
-- a question and the delete that follows it. Readers, and pg_dump, stand in nobody's way.
CREATE SEQUENCE ops.standing_holds MINVALUE 0 START 0;
SELECT setval('ops.standing_holds', 0);
-- To read it by its oid needs no right on the schema.
GRANT SELECT ON SEQUENCE ops.standing_holds TO PUBLIC;

-- One row, which every change of a hold updates: a transaction with an older snapshot, which can't see
-- the hold that the sequence tells of, fails to serialize on it instead of passing it by.
CREATE TABLE ops.hold_changes (
    changes bigint NOT NULL
);
INSERT INTO ops.hold_changes (changes) VALUES (0);

CREATE FUNCTION ops.refuse_older_snapshot() RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM FROM ops.hold_changes FOR SHARE;
    END IF;
END
$$;

-- Which standing hold holds a segment; NULL: none. The author may be unknown.
CREATE FUNCTION ops.hold_on_segment(segment uuid, made timestamptz, thread uuid, author uuid)
    RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    made_in date;
    hold bigint;
BEGIN
    SELECT s.hold_id INTO hold
    FROM ops.held_subjects AS s
    WHERE s.id IN (segment, thread, author)
      AND s.whole
      AND (
          s.kind = 'segment' AND s.id = segment
          OR s.kind = 'thread' AND s.id = thread
          OR s.kind = 'user' AND s.id = author
      )
    LIMIT 1;
    IF hold IS NULL AND coalesce(pg_sequence_last_value('ops.standing_holds'), 7) & 2 = 2 THEN
        made_in := date_trunc('month', made AT TIME ZONE 'UTC');
        SELECT h.id INTO hold
        FROM ops.legal_holds AS h
        WHERE h.released_at IS NULL
          AND h.month = made_in
        LIMIT 1;
    END IF;
    RETURN hold;
END
$$;

-- The same, for who knows a segment's id only. NULL, too, once its key is gone: whoever removed the
-- key was asked then. A key does not know its author; the two tables do, and of a month that stands
-- alone the segments of held users are recorded.
CREATE FUNCTION ops.hold_on_key(segment uuid) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    k public.content_segment_keys;
    author uuid;
BEGIN
    SELECT * INTO k FROM public.content_segment_keys WHERE id = segment;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF coalesce(pg_sequence_last_value('ops.standing_holds'), 7) & 4 = 4 THEN
        SELECT found.user_id INTO author
        FROM (
            SELECT s.user_id
            FROM public.content_segments AS s
            WHERE s.id = k.id AND s.created_at = k.created_at
            UNION ALL
            SELECT s.user_id
            FROM public.archived_content_segments AS s
            WHERE s.id = k.id AND s.created_at = k.created_at
        ) AS found;
    END IF;
    RETURN ops.hold_on_segment(k.id, k.created_at, k.thread_id, author);
END
$$;

CREATE FUNCTION ops.hold_on_thread(thread uuid, book uuid, starter uuid) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
BEGIN
    RETURN (
        SELECT s.hold_id
        FROM ops.held_subjects AS s
        WHERE s.id IN (thread, book, starter)
          AND s.whole
          AND (
              s.kind = 'thread' AND s.id = thread
              OR s.kind = 'book' AND s.id = book
              OR s.kind = 'user' AND s.id = starter
          )
        LIMIT 1
    );
END
$$;

-- Whether something in a thread is held although the thread itself is not: by the month that it was
-- written in, by its author, or because an archive holds something of it.
CREATE FUNCTION ops.hold_within_thread(thread uuid) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    kinds constant bigint := coalesce(pg_sequence_last_value('ops.standing_holds'), 7);
    hold bigint;
BEGIN
    SELECT s.hold_id INTO hold
    FROM ops.held_subjects AS s
    WHERE s.id = thread
      AND s.kind = 'thread'
    LIMIT 1;
    IF hold IS NULL AND kinds & 2 = 2 THEN
        SELECT h.id INTO hold
        FROM public.content_segment_keys AS k
        JOIN ops.legal_holds AS h
            ON h.month = date_trunc('month', k.created_at AT TIME ZONE 'UTC')::date
           AND h.released_at IS NULL
        WHERE k.thread_id = thread
        LIMIT 1;
    END IF;
    IF hold IS NULL AND kinds & 4 = 4 THEN
        SELECT h.hold_id INTO hold
        FROM (
            SELECT s.user_id, 'user' AS kind
            FROM public.content_segments AS s
            WHERE s.thread_id = thread
            UNION ALL
            SELECT s.user_id, 'user'
            FROM public.archived_content_segments AS s
            WHERE s.thread_id = thread
            UNION ALL
            SELECT k.id, 'segment'
            FROM public.content_segment_keys AS k
            WHERE k.thread_id = thread
        ) AS within
        JOIN ops.held_subjects AS h ON h.id = within.user_id AND h.kind = within.kind AND h.whole
        LIMIT 1;
    END IF;
    RETURN hold;
END
$$;

CREATE FUNCTION ops.hold_on_book(book uuid, family uuid, creator uuid) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
BEGIN
    RETURN (
        SELECT s.hold_id
        FROM ops.held_subjects AS s
        WHERE s.id IN (book, family, creator)
          AND s.whole
          AND (
              s.kind = 'book' AND s.id = book
              OR s.kind = 'family' AND s.id = family
              OR s.kind = 'user' AND s.id = creator
          )
        LIMIT 1
    );
END
$$;

-- One form of refusal for all of them. Not the hold's reason: that is not for whoever is refused.
CREATE FUNCTION ops.refuse_for_hold(what text, hold bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% is under legal hold %', what, hold
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'legal_hold',
              HINT = 'It stays as it is until the hold is released: see ft-ops hold list.';
END
$$;

DROP TRIGGER refuse_held ON users;
DROP TRIGGER refuse_held ON families;
DROP TRIGGER refuse_held ON memory_books;
DROP TRIGGER refuse_held ON threads;
DROP FUNCTION ops.refuse_held();

-- The generated columns of a table, each with null: in a trigger before an update the new row has none
-- of them yet, and they follow from the others.
CREATE FUNCTION ops.generated_columns(relation oid) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
    SELECT coalesce(jsonb_object_agg(a.attname, NULL), '{}')
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = relation
      AND NOT a.attisdropped
      AND a.attgenerated <> ''
$$;

-- The functions of the triggers run for changed rows only while a hold stands. What they compare is
-- compared by its bytes, so for every type, and for columns that a later migration adds.
-- enable_seqscan: to probe an index takes a sixth of the time of reading a table of a hundred holds,
-- and the planner thinks otherwise.
CREATE FUNCTION ops.refuse_held_segment() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    AS $$
DECLARE
    edited record;
    hold bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM ops.refuse_older_snapshot();
    END IF;
    -- Of most rows this tells at once that nothing holds them.
    IF NOT EXISTS (
        SELECT FROM ops.held_subjects AS s WHERE s.id IN (OLD.id, OLD.thread_id, OLD.user_id)
    ) AND coalesce(pg_sequence_last_value('ops.standing_holds'), 7) & 2 = 0 THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        edited := NEW;
        edited.view_count := OLD.view_count;
        edited.reaction_count := OLD.reaction_count;
        IF edited *= OLD
            OR edited *= jsonb_populate_record(OLD, ops.generated_columns(TG_RELID))
        THEN
            RETURN NEW;
        END IF;
    END IF;
    hold := ops.hold_on_segment(OLD.id, OLD.created_at, OLD.thread_id, OLD.user_id);
    -- In a month that stands alone, a row whose key is gone was purged before it
    -- was held.
    IF hold IS NOT NULL AND TG_NAME = 'refuse_held_alone' AND NOT EXISTS (
        SELECT FROM public.content_segment_keys AS k WHERE k.id = OLD.id
    ) THEN
        hold := NULL;
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

CREATE FUNCTION ops.refuse_held_key() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    AS $$
DECLARE
    hold bigint;
BEGIN
    PERFORM ops.refuse_older_snapshot();
    IF TG_OP = 'UPDATE' THEN
        IF NEW *= OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    hold := ops.hold_on_key(OLD.id);
    IF hold IS NOT NULL THEN
        PERFORM ops.refuse_for_hold(format('segment %s', OLD.id), hold);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;

-- Narrations, tags and links: held with their segment, with either end, or by who made them.
CREATE FUNCTION ops.refuse_held_child() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    AS $$
DECLARE
    edited record;
    creator uuid;
    hold bigint;
BEGIN
    PERFORM ops.refuse_older_snapshot();
    IF TG_OP = 'UPDATE' THEN
        edited := NEW;
        IF TG_TABLE_NAME = 'photo_narrations' THEN
            edited.updated_at := OLD.updated_at;
        END IF;
        IF edited *= OLD
            OR edited *= jsonb_populate_record(OLD, ops.generated_columns(TG_RELID))
        THEN
            RETURN NEW;
        END IF;
    END IF;
    IF TG_TABLE_NAME = 'content_links' THEN
        creator := OLD.created_by;
        hold := coalesce(
            ops.hold_on_key(OLD.source_segment_id), ops.hold_on_key(OLD.target_segment_id)
        );
    ELSIF TG_TABLE_NAME = 'content_tags' THEN
        creator := OLD.tagged_by;
        hold := ops.hold_on_key(OLD.content_segment_id);
    ELSE
        creator := OLD.created_by;
        hold := ops.hold_on_key(OLD.content_segment_id);
    END IF;
    IF hold IS NULL THEN
        SELECT s.hold_id INTO hold
        FROM ops.held_subjects AS s
        WHERE s.id = creator AND s.kind = 'user' AND s.whole
        LIMIT 1;
    END IF;
    IF hold IS NOT NULL THEN
        PERFORM ops.refuse_for_hold(format('row %s of %s', OLD.id, TG_TABLE_NAME), hold);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION ops.refuse_held_thread() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    AS $$
DECLARE
    edited record;
    hold bigint;
    leaves boolean := true;
BEGIN
    PERFORM ops.refuse_older_snapshot();
    IF TG_OP = 'UPDATE' THEN
        edited := NEW;
        edited.participant_count := OLD.participant_count;
        edited.segment_count := OLD.segment_count;
        edited.last_segment_at := OLD.last_segment_at;
        edited.is_locked := OLD.is_locked;
        edited.updated_at := OLD.updated_at;
        IF edited *= OLD
            OR edited *= jsonb_populate_record(OLD, ops.generated_columns(TG_RELID))
        THEN
            RETURN NEW;
        END IF;
        leaves := (NEW.id, NEW.memory_book_id) <> (OLD.id, OLD.memory_book_id);
    END IF;
    hold := ops.hold_on_thread(OLD.id, OLD.memory_book_id, OLD.started_by);
    IF hold IS NULL AND leaves THEN
        hold := ops.hold_within_thread(OLD.id);
    END IF;
    IF hold IS NOT NULL THEN
        PERFORM ops.refuse_for_hold(format('thread %s', OLD.id), hold);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION ops.refuse_held_book() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    AS $$
DECLARE
    edited record;
    hold bigint;
    leaves boolean := true;
BEGIN
    PERFORM ops.refuse_older_snapshot();
    IF TG_OP = 'UPDATE' THEN
        edited := NEW;
        edited.thread_count := OLD.thread_count;
        edited.last_activity_at := OLD.last_activity_at;
        edited.updated_at := OLD.updated_at;
        IF edited *= OLD
            OR edited *= jsonb_populate_record(OLD, ops.generated_columns(TG_RELID))
        THEN
            RETURN NEW;
        END IF;
        leaves := (NEW.id, NEW.family_id) <> (OLD.id, OLD.family_id);
    END IF;
    hold := ops.hold_on_book(OLD.id, OLD.family_id, OLD.created_by);
    IF hold IS NULL AND leaves THEN
        SELECT found.hold INTO hold
        FROM public.threads AS t
        CROSS JOIN LATERAL coalesce(
            ops.hold_on_thread(t.id, t.memory_book_id, t.started_by),
            ops.hold_within_thread(t.id)
        ) AS found (hold)
        WHERE t.memory_book_id = OLD.id
          AND found.hold IS NOT NULL
        LIMIT 1;
    END IF;
    IF hold IS NOT NULL THEN
        PERFORM ops.refuse_for_hold(format('book %s', OLD.id), hold);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;

-- Families and users: TG_ARGV[0] says which.
CREATE FUNCTION ops.refuse_held_party() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    AS $$
DECLARE
    hold bigint;
BEGIN
    PERFORM ops.refuse_older_snapshot();
    IF TG_OP = 'UPDATE' THEN
        IF TG_ARGV[0] = 'user' THEN
            IF (NEW.id, NEW.clerk_id) IS NOT DISTINCT FROM (OLD.id, OLD.clerk_id) THEN
                RETURN NEW;
            END IF;
        ELSIF (NEW.id, NEW.name, NEW.description, NEW.owner_id)
            IS NOT DISTINCT FROM (OLD.id, OLD.name, OLD.description, OLD.owner_id)
        THEN
            RETURN NEW;
        END IF;
    END IF;
    SELECT s.hold_id INTO hold
    FROM ops.held_subjects AS s
    WHERE s.id = OLD.id AND s.kind = TG_ARGV[0] AND (s.whole OR TG_OP = 'DELETE')
    LIMIT 1;
    IF hold IS NOT NULL THEN
        PERFORM ops.refuse_for_hold(format('%s %s', TG_ARGV[0], OLD.id), hold);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION ops.refuse_held_truncate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    hold bigint;
BEGIN
    IF pg_sequence_last_value('ops.standing_holds') IS DISTINCT FROM 0 THEN
        PERFORM ops.refuse_older_snapshot();
        SELECT min(h.id) INTO hold FROM ops.legal_holds AS h WHERE h.released_at IS NULL;
        IF hold IS NOT NULL THEN
            PERFORM ops.refuse_for_hold(format('something in %s', TG_TABLE_NAME), hold);
        END IF;
    END IF;
    RETURN NULL;
END
$$;

-- Writes down what belongs to a held family or book: its books and threads; and of a held user the
-- segments that lie in months which stand alone, where nobody else finds them. Again and again, safely.
CREATE FUNCTION ops.record_held(hold bigint) RETURNS void
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

-- Tables of segments that are no partition: months between two steps of the archive, which have the
-- trigger below, and what somebody detached by hand, by their name and the columns that matter here.
CREATE FUNCTION ops.months_alone() RETURNS TABLE (relation regclass)
    LANGUAGE sql STABLE
    AS $$
    SELECT c.oid::regclass
    FROM pg_catalog.pg_class AS c
    WHERE c.relkind = 'r'
      AND NOT c.relispartition
      AND (
          c.relnamespace = 'public'::regnamespace
          AND c.relname ~ '^(archived_)?content_segments_\d{4}_\d{2}$'
          OR EXISTS (
              SELECT
              FROM pg_catalog.pg_trigger AS t
              WHERE t.tgrelid = c.oid
                AND t.tgname = 'refuse_held_alone'
          )
      )
      AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
      AND (
          SELECT count(*)
          FROM pg_catalog.pg_attribute AS a
          WHERE a.attrelid = c.oid
            AND NOT a.attisdropped
            AND a.attname IN (
                'id', 'created_at', 'thread_id', 'user_id', 'view_count', 'reaction_count'
            )
      ) = 6
$$;

CREATE FUNCTION ops.record_authors(relation regclass) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    EXECUTE format(
        'INSERT INTO ops.held_subjects (id, kind, hold_id, whole) '
        'SELECT s.id, ''segment'', h.id, true '
        'FROM ops.legal_holds AS h JOIN %s AS s ON s.user_id = h.user_id '
        'WHERE h.released_at IS NULL ON CONFLICT DO NOTHING',
        relation
    );
END
$$;

-- A hold is placed and released, and nothing else happens to it, by hand neither.
CREATE FUNCTION ops.count_holds() RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'legal holds are placed and released in READ COMMITTED'
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'An older snapshot would miss what was written since.';
    END IF;
    ALTER SEQUENCE ops.standing_holds RESTART;
    UPDATE ops.hold_changes SET changes = changes + 1;
    PERFORM setval(
        'ops.standing_holds',
        (
            SELECT kind.stands::integer + 2 * kind.on_month::integer + 4 * kind.on_user::integer
            FROM (
                SELECT
                    count(*) > 0 AS stands,
                    count(h.month) > 0 AS on_month,
                    count(h.user_id) > 0 AS on_user
                FROM ops.legal_holds AS h
                WHERE h.released_at IS NULL
            ) AS kind
        )
    );
END
$$;

CREATE FUNCTION ops.place_hold() RETURNS trigger
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

CREATE FUNCTION ops.keep_hold() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (OLD.id, OLD.placed_at, OLD.placed_by, OLD.reason)
            = (NEW.id, NEW.placed_at, NEW.placed_by, NEW.reason)
            AND (OLD.month, OLD.family_id, OLD.book_id, OLD.thread_id, OLD.user_id)
                IS NOT DISTINCT FROM
                (NEW.month, NEW.family_id, NEW.book_id, NEW.thread_id, NEW.user_id)
            AND (
                OLD.released_at IS NULL
                OR (OLD.released_at, OLD.released_by, OLD.release_reason)
                    IS NOT DISTINCT FROM (NEW.released_at, NEW.released_by, NEW.release_reason)
            )
            AND (
                NEW.released_at IS NULL
                OR OLD.released_at IS NOT NULL
                OR NEW.released_by IS NOT NULL AND coalesce(NEW.release_reason, '') ~ '\S'
            )
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'a legal hold is released once, with a reason, and nothing else is done to it'
        USING ERRCODE = 'restrict_violation',
              HINT = 'Release it, and place another one if need be: ft-ops hold.';
END
$$;

CREATE FUNCTION ops.release_hold() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM ops.count_holds();
    DELETE FROM ops.held_subjects AS s WHERE s.hold_id = NEW.id;
    RETURN NULL;
END
$$;

CREATE FUNCTION ops.keep_held_subject() RETURNS trigger
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

CREATE TRIGGER place_hold AFTER INSERT ON ops.legal_holds
    FOR EACH ROW WHEN (NEW.released_at IS NULL) EXECUTE FUNCTION ops.place_hold();
CREATE TRIGGER keep_hold BEFORE UPDATE OR DELETE ON ops.legal_holds
    FOR EACH ROW EXECUTE FUNCTION ops.keep_hold();
CREATE TRIGGER keep_holds BEFORE TRUNCATE ON ops.legal_holds
    FOR EACH STATEMENT EXECUTE FUNCTION ops.keep_hold();
CREATE TRIGGER release_hold AFTER UPDATE OF released_at ON ops.legal_holds
    FOR EACH ROW WHEN (OLD.released_at IS NULL AND NEW.released_at IS NOT NULL)
    EXECUTE FUNCTION ops.release_hold();
CREATE TRIGGER keep_held_subject BEFORE UPDATE OR DELETE ON ops.held_subjects
    FOR EACH ROW EXECUTE FUNCTION ops.keep_held_subject();
CREATE TRIGGER keep_held_subjects BEFORE TRUNCATE ON ops.held_subjects
    FOR EACH STATEMENT EXECUTE FUNCTION ops.keep_held_subject();

-- What comes into a held family or book is held from then on: a new book or thread, and one that was
-- moved there.
CREATE FUNCTION ops.note_held_arrival() RETURNS trigger
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

-- Guards a table of segments that is no partition, or is about to be none: DETACH takes its parent's
-- row triggers away, and no partition has its parent's TRUNCATE trigger. SHARE ROW EXCLUSIVE on the
-- table until the transaction ends.
CREATE FUNCTION ops.guard_segments(relation regclass) RETURNS void
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

REVOKE EXECUTE ON FUNCTION
    ops.refuse_older_snapshot(), ops.hold_on_segment(uuid, timestamptz, uuid, uuid),
    ops.hold_on_key(uuid), ops.hold_on_thread(uuid, uuid, uuid), ops.hold_within_thread(uuid),
    ops.hold_on_book(uuid, uuid, uuid), ops.refuse_for_hold(text, bigint),
    ops.generated_columns(oid), ops.record_held(bigint),
    ops.months_alone(), ops.record_authors(regclass), ops.count_holds(),
    ops.guard_segments(regclass)
    FROM PUBLIC;

GRANT SELECT ON ops.held_subjects TO ft_readonly;

-- The locks of what follows last until the end: SHARE ROW EXCLUSIVE on every table of content.
--
-- No list of columns: such a list would keep a later migration from dropping or widening one of them.
-- The WHEN clause costs a changed row less than a tenth of a call.
CREATE TRIGGER refuse_held BEFORE UPDATE OR DELETE ON users
    FOR EACH ROW
    WHEN (pg_sequence_last_value('ops.standing_holds') IS DISTINCT FROM 0)
    EXECUTE FUNCTION ops.refuse_held_party('user');
CREATE TRIGGER refuse_held BEFORE UPDATE OR DELETE ON families
    FOR EACH ROW
    WHEN (pg_sequence_last_value('ops.standing_holds') IS DISTINCT FROM 0)
    EXECUTE FUNCTION ops.refuse_held_party('family');
CREATE TRIGGER refuse_held BEFORE UPDATE OR DELETE ON memory_books
    FOR EACH ROW
    WHEN (pg_sequence_last_value('ops.standing_holds') IS DISTINCT FROM 0)
    EXECUTE FUNCTION ops.refuse_held_book();
CREATE TRIGGER refuse_held BEFORE UPDATE OR DELETE ON threads
    FOR EACH ROW
    WHEN (pg_sequence_last_value('ops.standing_holds') IS DISTINCT FROM 0)
    EXECUTE FUNCTION ops.refuse_held_thread();
CREATE TRIGGER refuse_held BEFORE UPDATE OR DELETE ON content_segments
    FOR EACH ROW
    WHEN (pg_sequence_last_value('ops.standing_holds') IS DISTINCT FROM 0)
    EXECUTE FUNCTION ops.refuse_held_segment();
CREATE TRIGGER refuse_held BEFORE UPDATE OR DELETE ON archived_content_segments
    FOR EACH ROW
    WHEN (pg_sequence_last_value('ops.standing_holds') IS DISTINCT FROM 0)
    EXECUTE FUNCTION ops.refuse_held_segment();
CREATE TRIGGER refuse_held BEFORE UPDATE OR DELETE ON content_segment_keys
    FOR EACH ROW
    WHEN (pg_sequence_last_value('ops.standing_holds') IS DISTINCT FROM 0)
    EXECUTE FUNCTION ops.refuse_held_key();
CREATE TRIGGER refuse_held BEFORE UPDATE OR DELETE ON photo_narrations
    FOR EACH ROW
    WHEN (pg_sequence_last_value('ops.standing_holds') IS DISTINCT FROM 0)
    EXECUTE FUNCTION ops.refuse_held_child();
CREATE TRIGGER refuse_held BEFORE UPDATE OR DELETE ON content_tags
    FOR EACH ROW
    WHEN (pg_sequence_last_value('ops.standing_holds') IS DISTINCT FROM 0)
    EXECUTE FUNCTION ops.refuse_held_child();
CREATE TRIGGER refuse_held BEFORE UPDATE OR DELETE ON content_links
    FOR EACH ROW
    WHEN (pg_sequence_last_value('ops.standing_holds') IS DISTINCT FROM 0)
    EXECUTE FUNCTION ops.refuse_held_child();
CREATE TRIGGER note_held_arrival AFTER INSERT OR UPDATE OF family_id ON memory_books
    FOR EACH ROW
    WHEN (pg_sequence_last_value('ops.standing_holds') IS DISTINCT FROM 0)
    EXECUTE FUNCTION ops.note_held_arrival();
CREATE TRIGGER note_held_arrival AFTER INSERT OR UPDATE OF memory_book_id ON threads
    FOR EACH ROW
    WHEN (pg_sequence_last_value('ops.standing_holds') IS DISTINCT FROM 0)
    EXECUTE FUNCTION ops.note_held_arrival();

-- ALWAYS: session_replication_role = replica, which some bulk loads set, does not silence them.
ALTER TABLE users ENABLE ALWAYS TRIGGER refuse_held;
ALTER TABLE families ENABLE ALWAYS TRIGGER refuse_held;
ALTER TABLE memory_books
    ENABLE ALWAYS TRIGGER refuse_held, ENABLE ALWAYS TRIGGER note_held_arrival;
ALTER TABLE threads ENABLE ALWAYS TRIGGER refuse_held, ENABLE ALWAYS TRIGGER note_held_arrival;
ALTER TABLE content_segments ENABLE ALWAYS TRIGGER refuse_held;
ALTER TABLE archived_content_segments ENABLE ALWAYS TRIGGER refuse_held;
ALTER TABLE content_segment_keys ENABLE ALWAYS TRIGGER refuse_held;
ALTER TABLE photo_narrations ENABLE ALWAYS TRIGGER refuse_held;
ALTER TABLE content_tags ENABLE ALWAYS TRIGGER refuse_held;
ALTER TABLE content_links ENABLE ALWAYS TRIGGER refuse_held;

CREATE TRIGGER keep_keys BEFORE TRUNCATE ON content_segment_keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER keep_held BEFORE TRUNCATE ON photo_narrations
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_held_truncate();
CREATE TRIGGER keep_held BEFORE TRUNCATE ON content_tags
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_held_truncate();
CREATE TRIGGER keep_held BEFORE TRUNCATE ON content_links
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_held_truncate();

-- Partitions need a TRUNCATE trigger of their own, months that stand alone both kinds.
DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN
        SELECT link.inhrelid::regclass
        FROM pg_inherits AS link
        JOIN pg_class AS c ON c.oid = link.inhrelid
        WHERE link.inhparent IN (
                'content_segments'::regclass, 'archived_content_segments'::regclass
            )
          AND c.relkind = 'r'
          AND pg_has_role(c.relowner, 'USAGE')
        ORDER BY c.relname
    LOOP
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER keep_keys BEFORE TRUNCATE ON %s '
            'FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate()',
            partition
        );
    END LOOP;
    PERFORM ops.guard_segments(relation) FROM ops.months_alone();
END
$$;

-- Holds that stand already.
INSERT INTO ops.held_subjects (id, kind, hold_id, whole)
SELECT v.id, v.kind, h.id, true
FROM ops.legal_holds AS h
CROSS JOIN LATERAL (VALUES (h.family_id, 'family'), (h.user_id, 'user')) AS v (id, kind)
WHERE h.released_at IS NULL
  AND v.id IS NOT NULL;
SELECT ops.record_held(h.id) FROM ops.legal_holds AS h WHERE h.released_at IS NULL;
SELECT ops.count_holds();
