-- Run once, in the application's database, by its administrator: a superuser, or on RDS the
-- master user. Needs CREATEROLE; safe to run again.
--
--   psql -X "$ADMIN_URL" -v ON_ERROR_STOP=1 -f sql/roles/bootstrap.sql
--
-- Then give the roles their passwords (\password ft_ops). What the administrator may not grant
-- is named in a WARNING, and everything else works without it. It takes over an empty database of the
-- administrator's, or one that ft_ops has; any other only when it is named:
--
--   PGOPTIONS='-c ft.bootstrap=familytales' psql -X "$ADMIN_URL" …
DO $$
DECLARE
    role_name text;
    extension text;
    grant_statement text;
    may_become text;
    owner text;
    not_ours text;
BEGIN
    -- Whoever could make objects in public so far may have put a function there that fits a call below
    -- better than the server's own: it would run as whoever runs this, a superuser.
    SET LOCAL search_path = pg_catalog, pg_temp;

    -- This makes the database ft_ops' own and closes it to everybody else. A connection string without
    -- a database's name leads to the administrator's, which every other tool on the server needs.
    IF current_setting('ft.bootstrap', true) IS DISTINCT FROM current_database()
        AND (
            current_database() IN ('postgres', 'template0', 'template1', 'rdsadmin')
            OR to_regclass('public.event_logs') IS NOT NULL
        )
    THEN
        RAISE EXCEPTION
            'database % is %, not the application''s: nothing was changed in it',
            current_database(),
            CASE
                WHEN to_regclass('public.event_logs') IS NULL THEN 'one for maintenance'
                ELSE 'Dagster''s own'
            END
        USING HINT = format(
            'Name the application''s database in the connection. If this really is it: PGOPTIONS=''-c '
            'ft.bootstrap=%s'' psql -X …',
            current_database()
        );
    END IF;

    -- Nor is another application's database, nor Dagster's before its first start, which is empty: the
    -- one has something in it, the other belongs to somebody, or somebody may make tables there.
    SELECT pg_get_userbyid(d.datdba) INTO owner FROM pg_database AS d WHERE d.datname = current_database();
    IF current_setting('ft.bootstrap', true) IS DISTINCT FROM current_database()
        AND owner <> 'ft_ops'
        AND NOT EXISTS (
            SELECT
            FROM pg_class AS ledger
            JOIN pg_namespace AS ops ON ops.nspname = 'ops' AND ops.nspowner = ledger.relowner
            WHERE ledger.oid = to_regclass('public._sqlx_migrations')
              AND ledger.relowner = to_regrole('ft_ops')
        )
    THEN
        SELECT string_agg(told.words, '; ' ORDER BY told.place, told.words) INTO not_ours
        FROM (
            SELECT 1, 'it belongs to ' || owner
            WHERE owner NOT IN (current_user, session_user)
              -- Some providers give new databases to a group of their administrators.
              AND NOT EXISTS (
                  SELECT
                  FROM pg_roles AS r
                  WHERE r.rolname = owner
                    AND (r.rolsuper OR NOT r.rolcanlogin AND pg_has_role(r.oid, 'MEMBER'))
              )
            UNION ALL
            SELECT 2, r.rolname || ' may make schemas in it'
            FROM pg_database AS d
            CROSS JOIN aclexplode(d.datacl) AS granted
            JOIN pg_roles AS r ON r.oid = granted.grantee
            WHERE d.datname = current_database()
              AND granted.privilege_type = 'CREATE'
              AND r.rolname NOT IN (owner, current_user, session_user, 'ft_ops')
              AND NOT r.rolsuper
            UNION ALL
            (
                SELECT 3, 'it holds ' || held.type || ' ' || held.identity
                    || ' of ' || pg_get_userbyid(found.owner)
                FROM (
                    SELECT 'pg_namespace'::regclass, n.oid, n.nspowner, n.oid FROM pg_namespace AS n
                    WHERE n.nspname <> 'public'
                    UNION ALL
                    SELECT 'pg_class'::regclass, c.oid, c.relowner, c.relnamespace FROM pg_class AS c
                    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
                    UNION ALL
                    SELECT 'pg_proc'::regclass, p.oid, p.proowner, p.pronamespace FROM pg_proc AS p
                    UNION ALL
                    SELECT 'pg_type'::regclass, t.oid, t.typowner, t.typnamespace FROM pg_type AS t
                    WHERE t.typtype IN ('d', 'e', 'r')
                ) AS found (kind, oid, owner, lies_in)
                JOIN pg_namespace AS n ON n.oid = found.lies_in
                CROSS JOIN pg_identify_object(found.kind, found.oid, 0) AS held
                WHERE n.nspname <> 'information_schema'
                  AND NOT starts_with(n.nspname::text, 'pg_')
                  AND NOT EXISTS (
                      SELECT
                      FROM pg_depend AS d
                      WHERE d.deptype = 'e'
                        AND (d.classid, d.objid) IN (
                            (found.kind, found.oid), ('pg_namespace'::regclass, n.oid)
                        )
                  )
                ORDER BY found.kind, found.oid
                LIMIT 6
            )
        ) AS told (place, words);
        IF not_ours IS NOT NULL THEN
            RAISE EXCEPTION
                'database % may be another application''s: %; nothing was changed in it',
                current_database(),
                not_ours
            USING HINT = format(
                'Name an empty database of yours in the connection, and never Dagster''s. If this '
                'really is the application''s: PGOPTIONS=''-c ft.bootstrap=%s'' psql -X …',
                current_database()
            );
        END IF;
    END IF;

    -- ft_ops owns the schema and runs every job. ft_app is the application: row level security
    -- applies to it. ft_readonly reads under the same policies.
    FOREACH role_name IN ARRAY ARRAY['ft_ops', 'ft_app', 'ft_readonly'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS', role_name);
        EXCEPTION
            -- unique_violation is what a concurrent run of this script raises.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;

    -- PostgreSQL 15 doesn't know SET: whoever is a member may become the role.
    may_become := CASE
        WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET'
        ELSE 'MEMBER'
    END;
    IF NOT pg_has_role('ft_ops', may_become) THEN
        EXECUTE format('GRANT ft_ops TO %I', current_user);
    END IF;
    EXECUTE format('ALTER DATABASE %I OWNER TO ft_ops', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO ft_app, ft_readonly', current_database());

    -- A database born before PostgreSQL 15 lets everybody make objects in public, where an operator of
    -- the right name would run as whoever looks it up. Nobody but the operations needs to.
    FOREACH grant_statement IN ARRAY ARRAY[
        'ALTER SCHEMA public OWNER TO pg_database_owner',
        'REVOKE CREATE ON SCHEMA public FROM PUBLIC'
    ] LOOP
        BEGIN
            EXECUTE grant_statement;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING '% was refused: %', grant_statement, SQLERRM;
        END;
    END LOOP;
    -- A role that was granted it by name keeps it above. An administrator may make objects anyway.
    FOR role_name IN
        SELECT r.rolname
        FROM pg_namespace AS n
        CROSS JOIN aclexplode(n.nspacl) AS granted
        JOIN pg_roles AS r ON r.oid = granted.grantee
        WHERE n.nspname = 'public'
          AND granted.privilege_type = 'CREATE'
          AND r.rolname <> 'pg_database_owner'
          AND NOT pg_has_role(r.oid, 'ft_ops', 'MEMBER')
    LOOP
        BEGIN
            EXECUTE format('REVOKE CREATE ON SCHEMA public FROM %I', role_name);
        EXCEPTION WHEN insufficient_privilege THEN NULL;
        END;
        -- Of a grant that was another's to take back, REVOKE says no more than a warning.
        IF has_schema_privilege(role_name, 'public', 'CREATE') THEN
            RAISE WARNING '% may still create objects in the schema public', role_name
                USING HINT = format(
                    'As the owner of that schema: REVOKE CREATE ON SCHEMA public FROM %I.', role_name
                );
        ELSE
            RAISE WARNING '% may no longer create objects in the schema public', role_name;
        END IF;
    END LOOP;
    FOREACH role_name IN ARRAY ARRAY['ft_app', 'ft_readonly'] LOOP
        IF has_schema_privilege(role_name, 'public', 'CREATE') THEN
            RAISE WARNING '% may still create objects in the schema public', role_name
                USING HINT = 'As the owner of that schema: REVOKE CREATE ON SCHEMA public FROM '
                    'PUBLIC, then run this again.';
        END IF;
    END LOOP;

    FOREACH extension IN ARRAY ARRAY[
        'uuid-ossp', 'vector', 'timescaledb', 'pgstattuple', 'amcheck', 'pg_stat_statements'
    ] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = extension);
        -- The view shows no row, and raises no error, to whoever may not read this setting.
        CONTINUE WHEN extension IN ('timescaledb', 'pg_stat_statements') AND NOT EXISTS (
            SELECT
            FROM pg_settings
            WHERE name = 'shared_preload_libraries'
              AND setting LIKE '%' || extension || '%'
        );
        BEGIN
            EXECUTE format('CREATE EXTENSION IF NOT EXISTS %I', extension) || CASE
                -- Some say themselves where they belong.
                WHEN EXISTS (
                    SELECT
                    FROM pg_available_extension_versions AS v
                    WHERE v.name = extension
                      AND v.schema IS NOT NULL
                ) THEN ''
                ELSE ' SCHEMA public'
            END;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'extension % was not created: %', extension, SQLERRM;
        END;
    END LOOP;

    -- pg_monitor: statistics and settings of every session. ft_app: latency is measured as the
    -- application, under its policies; without INHERIT, nothing else is done as it. PostgreSQL 15
    -- has no such grant (a syntax error there), and latency is then measured as ft_ops. The
    -- functions: backups of a server that we manage ourselves (on RDS the provider takes them).
    FOREACH grant_statement IN ARRAY ARRAY[
        'GRANT pg_monitor TO ft_ops',
        'GRANT ft_app TO ft_ops WITH INHERIT FALSE',
        'GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean) TO ft_ops',
        'GRANT EXECUTE ON FUNCTION pg_backup_stop(boolean) TO ft_ops',
        'GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO ft_ops',
        'GRANT EXECUTE ON FUNCTION pg_switch_wal() TO ft_ops'
    ] LOOP
        BEGIN
            EXECUTE grant_statement;
        EXCEPTION WHEN insufficient_privilege OR undefined_function OR syntax_error THEN
            RAISE WARNING '% was refused: %', grant_statement, SQLERRM;
        END;
    END LOOP;

    -- amcheck is for superusers until somebody grants it; a rebuilt index is checked by it (one
    -- argument), and every index of a managed server's temporary copy (two).
    -- pgstattuple needs no grant: pg_monitor holds what it asks for.
    FOR grant_statement IN
        SELECT format('GRANT EXECUTE ON FUNCTION %s TO ft_ops', p.oid::regprocedure)
        FROM pg_proc AS p
        JOIN pg_depend AS d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
        JOIN pg_extension AS e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
        WHERE d.deptype = 'e'
          AND e.extname = 'amcheck'
          AND p.proname = 'bt_index_check'
          AND p.pronargs IN (1, 2)
    LOOP
        BEGIN
            EXECUTE grant_statement;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING '% was refused: %', grant_statement, SQLERRM;
        END;
    END LOOP;
END
$$;

-- Apart, so that what was taken from others above stays taken. Whatever a stranger has put where ft_ops
-- looks names up would run as ft_ops, and what he has called like our tables would be taken for them.
DO $$
DECLARE
    schemas text;
    objects text;
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;

    SELECT string_agg(format('%I of %s', n.nspname, pg_get_userbyid(n.nspowner)), ', ') INTO schemas
    FROM pg_namespace AS n
    WHERE n.nspname IN ('ops', 'ft_ops', 'ft_app', 'ft_readonly')
      AND NOT pg_has_role(n.nspowner, 'ft_ops', 'MEMBER')
      -- A schema of its own is the application's affair.
      AND (n.nspname IN ('ops', 'ft_ops') OR n.nspname <> pg_get_userbyid(n.nspowner));

    SELECT string_agg(
        format('%s %s of %s', named.type, named.identity, r.rolname),
        ', ' ORDER BY r.rolname, named.type, named.identity
    ) INTO objects
    FROM pg_shdepend AS held
    JOIN pg_roles AS r ON r.oid = held.refobjid AND held.refclassid = 'pg_authid'::regclass
    CROSS JOIN pg_identify_object(held.classid, held.objid, held.objsubid) AS named
    WHERE held.deptype = 'o'
      AND held.dbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      -- These lie in no schema, and everybody may make a million of them.
      AND held.classid <> 'pg_largeobject'::regclass
      AND named.schema IN ('public', 'ops')
      AND r.rolname <> 'pg_database_owner'
      AND NOT pg_has_role(r.oid, 'ft_ops', 'MEMBER')
      AND NOT EXISTS (
          SELECT
          FROM pg_depend AS member
          JOIN pg_extension AS e ON e.oid = member.refobjid
          WHERE (member.classid, member.objid) = (held.classid, held.objid)
            AND member.refclassid = 'pg_extension'::regclass
            AND member.deptype = 'e'
            AND pg_has_role(e.extowner, 'ft_ops', 'MEMBER')
      );

    IF schemas IS NOT NULL OR objects IS NOT NULL THEN
        RAISE EXCEPTION
            'not everything here is ft_ops'' own: %',
            concat_ws('; ', 'schema ' || schemas, objects)
        USING HINT = 'Find out who made it and what for. Then DROP it, or, if it is the application''s, '
            'hand it over: ALTER … OWNER TO ft_ops, or REASSIGN OWNED BY … TO ft_ops. Then run this '
            'again; until then the jobs refuse this database.';
    END IF;
END
$$;
