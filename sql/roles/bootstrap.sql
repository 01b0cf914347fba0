-- Run once, in the application's database, by its administrator: a superuser, or on RDS the
-- master user. Needs CREATEROLE; safe to run again.
--
--   psql "$ADMIN_URL" -v ON_ERROR_STOP=1 -f sql/roles/bootstrap.sql
--
-- Then give the roles their passwords (\password ft_ops). What the administrator may not grant
-- is named in a WARNING, and everything else works without it.
DO $$
DECLARE
    role_name text;
    extension text;
    grant_statement text;
    may_become text;
    planted text;
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
            'database % is %, not the application''s: nothing was changed',
            current_database(),
            CASE
                WHEN to_regclass('public.event_logs') IS NULL THEN 'one for maintenance'
                ELSE 'Dagster''s own'
            END
        USING HINT = format(
            'Name the application''s database in the connection. If this really is it: PGOPTIONS=''-c '
            'ft.bootstrap=%s'' psql …',
            current_database()
        );
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
    FOR role_name, planted IN
        SELECT owned.by::regrole::text, string_agg(owned.called, ', ' ORDER BY owned.called)
        FROM (
            SELECT p.proowner, p.oid::regprocedure::text, p.pronamespace FROM pg_proc AS p
            UNION ALL
            SELECT o.oprowner, o.oid::regoperator::text, o.oprnamespace FROM pg_operator AS o
            UNION ALL
            SELECT c.relowner, c.oid::regclass::text, c.relnamespace FROM pg_class AS c
            UNION ALL
            SELECT t.typowner, t.oid::regtype::text, t.typnamespace FROM pg_type AS t
        ) AS owned (by, called, lies_in)
        WHERE owned.by IN ('ft_app'::regrole, 'ft_readonly'::regrole)
          AND owned.lies_in = 'public'::regnamespace
        GROUP BY owned.by
    LOOP
        RAISE WARNING '% owns objects in the schema public: %', role_name, planted
            USING HINT = 'Find out who made them and what for, then drop them: whoever looks up a '
                'name in public may run them.';
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
