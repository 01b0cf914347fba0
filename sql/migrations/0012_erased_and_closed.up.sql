-- What was erased stays erased, whoever uses its id again; and the doors that stood open between the
-- application's role, the readers' and the operations'.

-- A book's deletion leaves a tombstone as its threads' do.
ALTER TABLE ops.erasures
    DROP CONSTRAINT erasures_kind_check,
    ADD CONSTRAINT erasures_kind_check
        CHECK (kind IN ('user', 'family', 'book', 'thread', 'segment')),
    -- Its id was in use again when ids could still be used again: a tombstone then means what was
    -- written before it, and nothing later.
    ADD COLUMN used_again boolean NOT NULL DEFAULT false;
UPDATE ops.erasures AS e
SET used_again = true
WHERE (e.kind = 'user' AND EXISTS (SELECT FROM users AS u WHERE u.id = e.id))
   OR (e.kind = 'family' AND EXISTS (SELECT FROM families AS f WHERE f.id = e.id))
   OR (e.kind = 'thread' AND EXISTS (SELECT FROM threads AS t WHERE t.id = e.id))
   OR (e.kind = 'segment' AND EXISTS (SELECT FROM content_segment_keys AS k WHERE k.id = e.id));
-- Row-by-row tombstones are asked for by month, all others by what they are of.
CREATE INDEX erasures_segments ON ops.erasures (month) WHERE kind = 'segment';

CREATE TRIGGER record_erasure AFTER DELETE ON memory_books
    FOR EACH ROW EXECUTE FUNCTION ops.record_erasure('book');

-- An id that was erased is not used again: archives know its content by it, and would bring it back
-- to whoever bears the id, or erase his. AFTER, because a row that waits for another session's delete
-- on the unique index is inserted once that is committed, and its tombstone is there.
CREATE FUNCTION ops.refuse_erased_id() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF EXISTS (
        SELECT FROM ops.erasures AS e WHERE e.kind = TG_ARGV[0] AND e.id = NEW.id
    ) THEN
        RAISE EXCEPTION '% % was erased, and its id is not used again', TG_ARGV[0], NEW.id
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'erased_id',
                  HINT = 'Insert it under a new id.';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER refuse_erased_id AFTER INSERT ON users
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_erased_id('user');
CREATE TRIGGER refuse_erased_id AFTER INSERT ON families
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_erased_id('family');
CREATE TRIGGER refuse_erased_id AFTER INSERT ON memory_books
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_erased_id('book');
CREATE TRIGGER refuse_erased_id AFTER INSERT ON threads
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_erased_id('thread');

-- Of segments the registry asks, in the statement that it makes anyway.
CREATE OR REPLACE FUNCTION register_segment_key() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    INSERT INTO public.content_segment_keys (id, created_at, thread_id, sequence_number)
    SELECT NEW.id, NEW.created_at, NEW.thread_id, NEW.sequence_number
    WHERE NOT EXISTS (
        SELECT FROM ops.erasures AS e WHERE e.kind = 'segment' AND e.id = NEW.id
    );
    IF NOT FOUND THEN
        RAISE EXCEPTION 'segment % was erased, and its id is not used again', NEW.id
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'erased_id',
                  HINT = 'Insert it under a new id.';
    END IF;
    RETURN NULL;
END
$$;

-- Nor does anybody take another id: archives would still know him by the old one, and no tombstone
-- would say that it is gone.
CREATE FUNCTION refuse_identity_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'the id % of % cannot change', OLD.id, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation',
              HINT = 'Insert a new row and delete this one.';
END
$$;

CREATE TRIGGER keep_identity BEFORE UPDATE OF id ON users
    FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION refuse_identity_change();
CREATE TRIGGER keep_identity BEFORE UPDATE OF id ON families
    FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION refuse_identity_change();
CREATE TRIGGER keep_identity BEFORE UPDATE OF id ON memory_books
    FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION refuse_identity_change();
CREATE TRIGGER keep_identity BEFORE UPDATE OF id ON threads
    FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION refuse_identity_change();

-- No function that runs as its owner looks anything up in public, where another role may have put an
-- operator or a function of the same name: databases born before PostgreSQL 15 let everybody.
-- Their bodies name every table and function with its schema.
DO $$
DECLARE
    definer regprocedure;
BEGIN
    FOR definer IN
        SELECT p.oid::regprocedure
        FROM pg_proc AS p
        WHERE p.prosecdef
          AND p.pronamespace IN ('public'::regnamespace, 'ops'::regnamespace)
          AND NOT EXISTS (
              SELECT
              FROM pg_depend AS d
              WHERE d.classid = 'pg_proc'::regclass
                AND d.objid = p.oid
                AND d.deptype = 'e'
          )
          AND EXISTS (
              SELECT
              FROM unnest(p.proconfig) AS setting
              WHERE setting ~ '^search_path=.*\mpublic\M'
          )
        ORDER BY p.oid::regprocedure::text
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp', definer);
    END LOOP;
END
$$;

-- The system user's trail is written by the operations, who own the table, and read by them: whoever
-- else sets his id as the current user's gets nothing by it.
ALTER POLICY audit_insert ON audit_log
    WITH CHECK (
        user_id = current_user_id() AND user_id <> '00000000-0000-0000-0000-000000000000'
    );
ALTER POLICY audit_read ON audit_log
    USING (user_id = current_user_id() AND user_id <> '00000000-0000-0000-0000-000000000000');
ALTER POLICY user_insert ON users
    WITH CHECK (id = current_user_id() AND id <> '00000000-0000-0000-0000-000000000000');

-- These rows are content: whose they are, no policy of this table tells.
REVOKE SELECT ON ops.waiting_links FROM ft_readonly;
