REVOKE ALL ON
    users, families, family_members, family_invites, memory_books, threads, content_segments,
    archived_content_segments, content_segment_keys, photo_narrations, content_links,
    content_tags, audit_log, active_family_members, memory_book_stats
    FROM ft_app, ft_readonly;
REVOKE USAGE ON SCHEMA public FROM ft_app, ft_readonly;

DO $$
DECLARE
    policy record;
BEGIN
    FOR policy IN
        SELECT tablename, policyname
        FROM pg_policies
        WHERE schemaname = 'public'
          AND tablename IN (
              'users', 'families', 'family_members', 'family_invites', 'memory_books', 'threads',
              'content_segments', 'archived_content_segments', 'content_segment_keys',
              'photo_narrations', 'content_links', 'content_tags', 'audit_log'
          )
    LOOP
        EXECUTE format('DROP POLICY %I ON %I', policy.policyname, policy.tablename);
        EXECUTE format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY', policy.tablename);
    END LOOP;
END
$$;

-- The triggers that use them go with these two.
DROP FUNCTION refuse_under_row_security(), refuse_foreign_owner() CASCADE;

DROP FUNCTION
    may_write_segment(uuid), accept_family_invite(text), user_id_of_clerk(text),
    fellow_user_ids(), member_thread_ids(text[]), member_book_ids(text[]),
    member_family_ids(text[]);
