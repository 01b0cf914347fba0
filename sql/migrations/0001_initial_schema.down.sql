-- Extensions stay: other things in the database may use them by now.
DROP TABLE audit_log, family_invites, content_tags, content_links, photo_narrations,
    content_segment_keys, archived_content_segments, content_segments, threads, memory_books,
    family_members, families, users;
DROP FUNCTION register_segment_key(), follow_segment_key(), forget_segment_key(),
    refuse_segment_identity_change(), refuse_truncate(), set_updated_at(), current_user_id();

-- Where uuid-ossp brought it, uuid_generate_v4() is the extension's and stays with it.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM pg_depend
        WHERE classid = 'pg_proc'::regclass
          AND objid = 'uuid_generate_v4()'::regprocedure
          AND deptype = 'e'
    ) THEN
        DROP FUNCTION uuid_generate_v4();
    END IF;
END
$$;
