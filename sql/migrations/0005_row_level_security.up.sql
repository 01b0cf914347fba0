-- Tenants see and change what belongs to their families, through tables and views alike.
-- ft_app and ft_readonly come from sql/roles/bootstrap.sql. Nothing is granted on partitions:
-- a direct read of one would pass its parent's policies by.
--
-- Within a family, who may edit what stays the application's business, except that a viewer
-- changes nothing, that only owners and admins change the family and its members, that a family's
-- owner alone gives it away, and that nobody writes in another's name: a row that named a
-- stranger would count against his storage and keep him from being deleted.
--
-- Unique constraints look past policies, as everywhere in PostgreSQL: that an e-mail address is
-- taken can be found out by trying it.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ft_app', 'ft_readonly'] LOOP
        IF to_regrole(role_name) IS NULL THEN
            RAISE EXCEPTION 'role % does not exist', role_name
                USING ERRCODE = 'undefined_object',
                      HINT = 'Run sql/roles/bootstrap.sql in this database as its administrator.';
        END IF;
    END LOOP;
END
$$;

-- The policies ask these functions, which run as the tables' owner: a policy on family_members
-- that read family_members itself would recurse. `roles` narrows the memberships that count.
CREATE FUNCTION member_family_ids(VARIADIC roles text[]) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    ROWS 5
    AS $$
    SELECT fm.family_id
    FROM public.family_members AS fm
    WHERE fm.user_id = public.current_user_id()
      AND fm.is_active
      AND fm.role = ANY (roles)
    UNION
    SELECT f.id
    FROM public.families AS f
    WHERE f.owner_id = public.current_user_id()
$$;

CREATE FUNCTION member_book_ids(VARIADIC roles text[]) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    ROWS 25
    AS $$
    SELECT mb.id
    FROM public.memory_books AS mb
    WHERE mb.family_id IN (SELECT public.member_family_ids(VARIADIC roles))
$$;

CREATE FUNCTION member_thread_ids(VARIADIC roles text[]) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    ROWS 500
    AS $$
    SELECT t.id
    FROM public.threads AS t
    JOIN public.memory_books AS mb ON mb.id = t.memory_book_id
    WHERE mb.family_id IN (SELECT public.member_family_ids(VARIADIC roles))
$$;

CREATE FUNCTION fellow_user_ids() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    ROWS 40
    AS $$
    SELECT fm.user_id
    FROM public.family_members AS fm
    WHERE fm.family_id IN (
        SELECT public.member_family_ids('owner', 'admin', 'editor', 'member', 'viewer')
    )
    UNION
    SELECT f.owner_id
    FROM public.families AS f
    WHERE f.id IN (
        SELECT public.member_family_ids('owner', 'admin', 'editor', 'member', 'viewer')
    )
$$;

-- Sign-in knows a Clerk id and no user id yet.
CREATE FUNCTION user_id_of_clerk(clerk text) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$ SELECT u.id FROM public.users AS u WHERE u.clerk_id = clerk $$;

-- An invitation's code is the proof that its bearer was invited. It dies with its inviter's
-- authority: an admin who was removed must not come back by an invitation that he kept. Whoever
-- is a member already keeps his role; whoever was removed returns with the role of the invitation.
CREATE FUNCTION accept_family_invite(code text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    invite public.family_invites;
BEGIN
    UPDATE public.family_invites AS i
    SET accepted_at = now(), accepted_by = public.current_user_id()
    WHERE i.invite_code = code
      AND i.accepted_at IS NULL
      AND i.expires_at > now()
      AND public.current_user_id() IS NOT NULL
      AND (
          EXISTS (
              SELECT
              FROM public.families AS f
              WHERE f.id = i.family_id
                AND f.owner_id = i.invited_by
          )
          OR EXISTS (
              SELECT
              FROM public.family_members AS fm
              WHERE fm.family_id = i.family_id
                AND fm.user_id = i.invited_by
                AND fm.is_active
                AND fm.role IN ('owner', 'admin')
          )
      )
    RETURNING i.* INTO invite;
    IF invite.id IS NULL THEN
        RAISE EXCEPTION 'this invitation is unknown, used, expired or withdrawn'
            USING ERRCODE = 'no_data_found';
    END IF;
    INSERT INTO public.family_members AS fm (family_id, user_id, role, invited_by)
    VALUES (
        invite.family_id, public.current_user_id(), coalesce(invite.role, 'member'),
        invite.invited_by
    )
    ON CONFLICT (family_id, user_id) DO UPDATE
    SET is_active = true, role = excluded.role, invited_by = excluded.invited_by
    WHERE fm.is_active IS NOT TRUE;
    RETURN invite.family_id;
END
$$;

REVOKE EXECUTE ON FUNCTION
    member_family_ids(text[]), member_book_ids(text[]), member_thread_ids(text[]),
    fellow_user_ids(), user_id_of_clerk(text), accept_family_invite(text)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    member_family_ids(text[]), member_book_ids(text[]), member_thread_ids(text[]),
    fellow_user_ids()
    TO ft_app, ft_readonly;
GRANT EXECUTE ON FUNCTION user_id_of_clerk(text), accept_family_invite(text) TO ft_app;

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE POLICY user_read ON users FOR SELECT
    USING (id = current_user_id() OR id IN (SELECT fellow_user_ids()));
CREATE POLICY user_insert ON users FOR INSERT WITH CHECK (id = current_user_id());
CREATE POLICY user_update ON users FOR UPDATE USING (id = current_user_id());
CREATE POLICY user_delete ON users FOR DELETE USING (id = current_user_id());

ALTER TABLE families ENABLE ROW LEVEL SECURITY;
CREATE POLICY family_read ON families FOR SELECT
    USING (
        owner_id = current_user_id()
        OR id IN (SELECT member_family_ids('owner', 'admin', 'editor', 'member', 'viewer'))
    );
CREATE POLICY family_insert ON families FOR INSERT WITH CHECK (owner_id = current_user_id());
CREATE POLICY family_update ON families FOR UPDATE
    USING (id IN (SELECT member_family_ids('owner', 'admin')));
CREATE POLICY family_delete ON families FOR DELETE USING (owner_id = current_user_id());

ALTER TABLE family_members ENABLE ROW LEVEL SECURITY;
CREATE POLICY member_read ON family_members FOR SELECT
    USING (
        user_id = current_user_id()
        OR family_id IN (SELECT member_family_ids('owner', 'admin', 'editor', 'member', 'viewer'))
    );
-- Others join by invitation, which they accept: to add somebody by his id would make his e-mail
-- address readable to a family that he never joined.
CREATE POLICY member_insert ON family_members FOR INSERT
    WITH CHECK (
        family_id IN (SELECT member_family_ids('owner', 'admin'))
        AND user_id = current_user_id()
        AND (invited_by IS NULL OR invited_by = current_user_id())
    );
CREATE POLICY member_update ON family_members FOR UPDATE
    USING (family_id IN (SELECT member_family_ids('owner', 'admin')));
CREATE POLICY member_delete ON family_members FOR DELETE
    USING (
        user_id = current_user_id() OR family_id IN (SELECT member_family_ids('owner', 'admin'))
    );

ALTER TABLE family_invites ENABLE ROW LEVEL SECURITY;
CREATE POLICY invite_read ON family_invites FOR SELECT
    USING (family_id IN (SELECT member_family_ids('owner', 'admin')));
CREATE POLICY invite_insert ON family_invites FOR INSERT
    WITH CHECK (
        family_id IN (SELECT member_family_ids('owner', 'admin'))
        AND invited_by = current_user_id()
        AND accepted_by IS NULL
    );
CREATE POLICY invite_update ON family_invites FOR UPDATE
    USING (family_id IN (SELECT member_family_ids('owner', 'admin')));
CREATE POLICY invite_delete ON family_invites FOR DELETE
    USING (family_id IN (SELECT member_family_ids('owner', 'admin')));

ALTER TABLE memory_books ENABLE ROW LEVEL SECURITY;
CREATE POLICY book_read ON memory_books FOR SELECT
    USING (
        family_id IN (SELECT member_family_ids('owner', 'admin', 'editor', 'member', 'viewer'))
    );
CREATE POLICY book_insert ON memory_books FOR INSERT
    WITH CHECK (
        family_id IN (SELECT member_family_ids('owner', 'admin', 'editor', 'member'))
        AND created_by = current_user_id()
    );
CREATE POLICY book_update ON memory_books FOR UPDATE
    USING (family_id IN (SELECT member_family_ids('owner', 'admin', 'editor', 'member')));
CREATE POLICY book_delete ON memory_books FOR DELETE
    USING (family_id IN (SELECT member_family_ids('owner', 'admin', 'editor', 'member')));

ALTER TABLE threads ENABLE ROW LEVEL SECURITY;
CREATE POLICY thread_read ON threads FOR SELECT
    USING (
        memory_book_id IN (
            SELECT member_book_ids('owner', 'admin', 'editor', 'member', 'viewer')
        )
    );
CREATE POLICY thread_insert ON threads FOR INSERT
    WITH CHECK (
        memory_book_id IN (SELECT member_book_ids('owner', 'admin', 'editor', 'member'))
        AND started_by = current_user_id()
    );
CREATE POLICY thread_update ON threads FOR UPDATE
    USING (memory_book_id IN (SELECT member_book_ids('owner', 'admin', 'editor', 'member')));
CREATE POLICY thread_delete ON threads FOR DELETE
    USING (memory_book_id IN (SELECT member_book_ids('owner', 'admin', 'editor', 'member')));

-- family_content_access is the specification's policy under its name. Its threads are gathered once
-- a query, in an object that is searched by halves; the specification's IN (SELECT …) would gather
-- them again for every partition, and an array is searched from end to end for every row.
ALTER TABLE content_segments ENABLE ROW LEVEL SECURITY;
CREATE POLICY family_content_access ON content_segments FOR SELECT
    USING (
        (
            SELECT jsonb_object_agg(id, true)
            FROM member_thread_ids('owner', 'admin', 'editor', 'member', 'viewer') AS id
        ) -> thread_id::text IS NOT NULL
    );
CREATE POLICY family_content_insert ON content_segments FOR INSERT
    WITH CHECK (
        thread_id IN (SELECT member_thread_ids('owner', 'admin', 'editor', 'member'))
        AND user_id = current_user_id()
    );
CREATE POLICY family_content_update ON content_segments FOR UPDATE
    USING (thread_id IN (SELECT member_thread_ids('owner', 'admin', 'editor', 'member')));
CREATE POLICY family_content_delete ON content_segments FOR DELETE
    USING (thread_id IN (SELECT member_thread_ids('owner', 'admin', 'editor', 'member')));

ALTER TABLE archived_content_segments ENABLE ROW LEVEL SECURITY;
CREATE POLICY family_content_access ON archived_content_segments FOR SELECT
    USING (
        (
            SELECT jsonb_object_agg(id, true)
            FROM member_thread_ids('owner', 'admin', 'editor', 'member', 'viewer') AS id
        ) -> thread_id::text IS NOT NULL
    );
CREATE POLICY family_content_update ON archived_content_segments FOR UPDATE
    USING (thread_id IN (SELECT member_thread_ids('owner', 'admin', 'editor', 'member')));
CREATE POLICY family_content_delete ON archived_content_segments FOR DELETE
    USING (thread_id IN (SELECT member_thread_ids('owner', 'admin', 'editor', 'member')));

-- The children of a segment are as visible as its key, hot or archived.
ALTER TABLE content_segment_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY key_read ON content_segment_keys FOR SELECT
    USING (
        thread_id IN (SELECT member_thread_ids('owner', 'admin', 'editor', 'member', 'viewer'))
    );

CREATE FUNCTION may_write_segment(segment uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT EXISTS (
        SELECT
        FROM public.content_segment_keys AS k
        JOIN public.threads AS t ON t.id = k.thread_id
        JOIN public.memory_books AS mb ON mb.id = t.memory_book_id
        WHERE k.id = segment
          AND mb.family_id IN (
              SELECT public.member_family_ids('owner', 'admin', 'editor', 'member')
          )
    )
$$;
REVOKE EXECUTE ON FUNCTION may_write_segment(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION may_write_segment(uuid) TO ft_app;

ALTER TABLE photo_narrations ENABLE ROW LEVEL SECURITY;
CREATE POLICY narration_read ON photo_narrations FOR SELECT
    USING (EXISTS (SELECT FROM content_segment_keys AS k WHERE k.id = content_segment_id));
CREATE POLICY narration_insert ON photo_narrations FOR INSERT
    WITH CHECK (
        may_write_segment(content_segment_id)
        AND (created_by IS NULL OR created_by = current_user_id())
    );
CREATE POLICY narration_update ON photo_narrations FOR UPDATE
    USING (may_write_segment(content_segment_id));
CREATE POLICY narration_delete ON photo_narrations FOR DELETE
    USING (may_write_segment(content_segment_id));

ALTER TABLE content_tags ENABLE ROW LEVEL SECURITY;
CREATE POLICY tag_read ON content_tags FOR SELECT
    USING (EXISTS (SELECT FROM content_segment_keys AS k WHERE k.id = content_segment_id));
CREATE POLICY tag_insert ON content_tags FOR INSERT
    WITH CHECK (may_write_segment(content_segment_id) AND tagged_by = current_user_id());
CREATE POLICY tag_update ON content_tags FOR UPDATE
    USING (may_write_segment(content_segment_id));
CREATE POLICY tag_delete ON content_tags FOR DELETE
    USING (may_write_segment(content_segment_id));

ALTER TABLE content_links ENABLE ROW LEVEL SECURITY;
CREATE POLICY link_read ON content_links FOR SELECT
    USING (
        EXISTS (SELECT FROM content_segment_keys AS k WHERE k.id = source_segment_id)
        AND EXISTS (SELECT FROM content_segment_keys AS k WHERE k.id = target_segment_id)
    );
CREATE POLICY link_insert ON content_links FOR INSERT
    WITH CHECK (
        may_write_segment(source_segment_id)
        AND EXISTS (SELECT FROM content_segment_keys AS k WHERE k.id = target_segment_id)
        AND created_by = current_user_id()
    );
CREATE POLICY link_update ON content_links FOR UPDATE
    USING (may_write_segment(source_segment_id))
    WITH CHECK (
        may_write_segment(source_segment_id)
        AND EXISTS (SELECT FROM content_segment_keys AS k WHERE k.id = target_segment_id)
    );
CREATE POLICY link_delete ON content_links FOR DELETE
    USING (may_write_segment(source_segment_id));

-- A policy sees the new row alone; what an update may do to a name needs the old one too. These
-- triggers hold for whoever the policies hold for, and leave the operations alone.
CREATE FUNCTION refuse_under_row_security() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% of % cannot be changed to that', TG_ARGV[0], TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege', HINT = TG_ARGV[1];
END
$$;

CREATE FUNCTION refuse_foreign_owner() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF OLD.owner_id = current_user_id() AND EXISTS (
        SELECT
        FROM family_members AS fm
        WHERE fm.family_id = NEW.id
          AND fm.user_id = NEW.owner_id
          AND fm.is_active
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'owner_id of families cannot be changed to that'
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Its owner alone may give a family away, to one of its active members.';
END
$$;

CREATE TRIGGER keep_owner BEFORE UPDATE OF owner_id ON families
    FOR EACH ROW
    WHEN (
        NEW.owner_id IS DISTINCT FROM OLD.owner_id
        AND row_security_active('families'::regclass)
    )
    EXECUTE FUNCTION refuse_foreign_owner();

CREATE TRIGGER keep_member BEFORE UPDATE OF family_id, user_id ON family_members
    FOR EACH ROW
    WHEN (
        (NEW.family_id, NEW.user_id) IS DISTINCT FROM (OLD.family_id, OLD.user_id)
        AND row_security_active('family_members'::regclass)
    )
    EXECUTE FUNCTION refuse_under_row_security('member', 'Members join by invitation.');

DO $$
DECLARE
    author record;
BEGIN
    FOR author IN
        SELECT *
        FROM (VALUES
            ('family_members', 'invited_by'),
            ('family_invites', 'invited_by'),
            ('family_invites', 'accepted_by'),
            ('memory_books', 'created_by'),
            ('threads', 'started_by'),
            ('content_segments', 'user_id'),
            ('archived_content_segments', 'user_id'),
            ('photo_narrations', 'created_by'),
            ('content_links', 'created_by'),
            ('content_tags', 'tagged_by')
        ) AS a (table_name, column_name)
    LOOP
        EXECUTE format(
            'CREATE TRIGGER keep_%2$s BEFORE UPDATE OF %2$I ON %1$I FOR EACH ROW '
            'WHEN (NEW.%2$I IS DISTINCT FROM OLD.%2$I '
            'AND NEW.%2$I IS DISTINCT FROM current_user_id() '
            'AND row_security_active(%1$L::regclass)) '
            'EXECUTE FUNCTION refuse_under_row_security(%2$L, %3$L)',
            author.table_name,
            author.column_name,
            'An update may name the current user, nobody else.'
        );
    END LOOP;
END
$$;

-- The application writes its trail and never reads another's.
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY audit_insert ON audit_log FOR INSERT WITH CHECK (user_id = current_user_id());
CREATE POLICY audit_read ON audit_log FOR SELECT USING (user_id = current_user_id());

GRANT USAGE ON SCHEMA public TO ft_app, ft_readonly;
GRANT SELECT ON
    users, families, family_members, family_invites, memory_books, threads, content_segments,
    archived_content_segments, content_segment_keys, photo_narrations, content_links,
    content_tags, audit_log, active_family_members, memory_book_stats
    TO ft_app, ft_readonly;
GRANT INSERT, UPDATE, DELETE ON
    users, families, family_members, family_invites, memory_books, threads, content_segments,
    photo_narrations, content_links, content_tags
    TO ft_app;
GRANT UPDATE, DELETE ON archived_content_segments TO ft_app;
GRANT INSERT ON audit_log TO ft_app;
