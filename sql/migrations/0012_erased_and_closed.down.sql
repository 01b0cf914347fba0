GRANT SELECT ON ops.waiting_links TO ft_readonly;

ALTER POLICY user_insert ON users WITH CHECK (id = current_user_id());
ALTER POLICY audit_read ON audit_log USING (user_id = current_user_id());
ALTER POLICY audit_insert ON audit_log WITH CHECK (user_id = current_user_id());

ALTER FUNCTION follow_segment_key() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION forget_segment_key() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION member_family_ids(text[]) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION member_book_ids(text[]) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION member_thread_ids(text[]) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION fellow_user_ids() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION user_id_of_clerk(text) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION accept_family_invite(text) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION may_write_segment(uuid) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION ops.record_erasure() SET search_path = pg_catalog, public, pg_temp;

DROP TRIGGER keep_identity ON threads;
DROP TRIGGER keep_identity ON memory_books;
DROP TRIGGER keep_identity ON families;
DROP TRIGGER keep_identity ON users;
DROP FUNCTION refuse_identity_change();

CREATE OR REPLACE FUNCTION register_segment_key() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    INSERT INTO public.content_segment_keys (id, created_at, thread_id, sequence_number)
    VALUES (NEW.id, NEW.created_at, NEW.thread_id, NEW.sequence_number);
    RETURN NULL;
END
$$;

DROP TRIGGER refuse_erased_id ON threads;
DROP TRIGGER refuse_erased_id ON memory_books;
DROP TRIGGER refuse_erased_id ON families;
DROP TRIGGER refuse_erased_id ON users;
DROP FUNCTION ops.refuse_erased_id();
DROP TRIGGER record_erasure ON memory_books;

DROP INDEX ops.erasures_segments;
-- A book's tombstone says nothing that those of its threads don't.
DELETE FROM ops.erasures WHERE kind = 'book';
ALTER TABLE ops.erasures
    DROP COLUMN used_again,
    DROP CONSTRAINT erasures_kind_check,
    ADD CONSTRAINT erasures_kind_check CHECK (kind IN ('user', 'family', 'thread', 'segment'));
