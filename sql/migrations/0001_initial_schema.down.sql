-- Extensions stay: other things in the database may use them by now.
DROP TABLE audit_log, family_invites, content_tags, content_links, photo_narrations,
    content_segment_keys, archived_content_segments, content_segments, threads, memory_books,
    family_members, families, users;
DROP FUNCTION register_segment_key(), follow_segment_key(), forget_segment_key(),
    refuse_segment_identity_change(), set_updated_at(), current_user_id();

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'uuid-ossp') THEN
        DROP FUNCTION uuid_generate_v4();
    END IF;
END
$$;
