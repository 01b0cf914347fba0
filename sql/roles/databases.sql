-- Makes what the operations need on a server from nothing: the application's database and Dagster's,
-- the roles, and their passwords. Run by psql as the server's administrator (a superuser, or on RDS the
-- master user), in any database; safe to run again.
--
--   OPS_PASSWORD=… DAGSTER_PASSWORD=… psql -X "$ADMIN_URL" -f sql/roles/databases.sql
--
-- A password that the environment does not name, or that is empty there, stays as it is (\password ft_ops
-- asks for one).
-- -v application=… and -v dagster=… name the databases otherwise; -v locale=C is for a server that
-- has no C.UTF-8.
\set ON_ERROR_STOP on
-- An administrator's .psqlrc may say otherwise: nothing would be kept, or passwords would be shown.
\set AUTOCOMMIT on
\set ECHO none
\if :{?application} \else \set application familytales \endif
\if :{?dagster} \else \set dagster dagster \endif
\if :{?locale} \else \set locale C.UTF-8 \endif
\set QUIET on

-- Each is closed to everybody but its owner: neither may be somebody else's, nor both the same.
SELECT format(
    'DO $refuse$ BEGIN RAISE EXCEPTION USING MESSAGE = %L, HINT = %L; END $refuse$',
    refused.cause || ': nothing was changed',
    refused.hint
)
FROM (
    SELECT
        format('psql is of version %s, which reads no password of the environment', :'VERSION_NAME'),
        'Use psql 15 or newer; its version need not be the server''s.'
    WHERE :VERSION_NUM < 150000
    UNION ALL
    SELECT
        format('%I may make no roles, or no databases', rolname),
        format('Run it as an administrator, or let one: ALTER ROLE %I CREATEROLE CREATEDB.', rolname)
    FROM pg_roles
    WHERE rolname = current_user
      AND NOT (rolsuper OR rolcreaterole AND rolcreatedb)
    UNION ALL
    -- Since PostgreSQL 16 CREATEROLE is enough only for the roles that one has made oneself.
    SELECT
        format(
            '%s were made by another administrator than %I',
            string_agg(rolname, ', ' ORDER BY rolname),
            current_user
        ),
        format(
            'Run it as that one, or let him: GRANT %s TO %I WITH ADMIN OPTION.',
            string_agg(rolname, ', ' ORDER BY rolname),
            current_user
        )
    FROM pg_roles
    WHERE rolname IN ('ft_ops', 'ft_dagster', 'ft_app', 'ft_readonly')
      AND :SERVER_VERSION_NUM >= 160000
      AND NOT pg_has_role(oid, 'USAGE WITH ADMIN OPTION')
    HAVING count(*) > 0
    UNION ALL
    SELECT
        format('database %I is a template of new databases, or the server''s own', datname),
        'Name another by -v application=… or -v dagster=….'
    FROM pg_database
    WHERE datname IN (:'application', :'dagster')
      AND (datistemplate OR datname = :'application' AND datname = 'postgres')
      AND current_setting('ft.bootstrap', true) IS DISTINCT FROM datname
    UNION ALL
    SELECT format('database %I can''t be both the application''s and Dagster''s', :'dagster'),
        'Name another by -v dagster=….'
    WHERE :'application' = :'dagster'
    UNION ALL
    SELECT
        format('database %I belongs to %I, not to ft_dagster', datname, pg_get_userbyid(datdba)),
        'Name another by -v dagster=…; if it is Dagster''s: ALTER DATABASE … OWNER TO ft_dagster.'
    FROM pg_database
    WHERE datname = :'dagster'
      AND pg_get_userbyid(datdba) <> 'ft_dagster'
) AS refused (cause, hint)
LIMIT 1
\gexec

SELECT 'CREATE ROLE ft_dagster LOGIN NOSUPERUSER NOBYPASSRLS'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ft_dagster')
\gexec

-- To give it a database, or to enter its own, an administrator who is no superuser must be able to
-- become it.
SELECT format('GRANT %I TO %I', rolname, current_user)
FROM pg_roles
WHERE rolname IN ('ft_dagster', 'ft_ops')
  AND NOT pg_has_role(oid, 'USAGE')
\gexec

SELECT
    format(
        'CREATE DATABASE %I%s TEMPLATE template0 ENCODING ''UTF8'' LOCALE %L',
        made.name,
        made.owner,
        :'locale'
    )
FROM (VALUES (:'application', ''), (:'dagster', ' OWNER ft_dagster')) AS made (name, owner)
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = made.name)
\gexec

REVOKE ALL ON DATABASE :"dagster" FROM PUBLIC;

\connect :"application"
\ir bootstrap.sql

-- Read by psql itself, so that no list of processes shows them.
\getenv ops_password OPS_PASSWORD
\getenv dagster_password DAGSTER_PASSWORD
\getenv app_password APP_PASSWORD
\getenv readonly_password READONLY_PASSWORD
\if :{?ops_password} \else \set ops_password '' \endif
\if :{?dagster_password} \else \set dagster_password '' \endif
\if :{?app_password} \else \set app_password '' \endif
\if :{?readonly_password} \else \set readonly_password '' \endif

-- Nor should the server's log or its statistics of statements, which more people read, show them. Only a
-- superuser may switch these off.
DO $$
DECLARE
    quiet text[];
BEGIN
    FOREACH quiet SLICE 1 IN ARRAY ARRAY[
        ['log_statement', 'none'],
        ['log_min_duration_statement', '-1'],
        ['log_min_duration_sample', '-1'],
        ['log_transaction_sample_rate', '0'],
        ['auto_explain.log_min_duration', '-1'],
        ['pg_stat_statements.track_utility', 'off']
    ] LOOP
        BEGIN
            PERFORM set_config(quiet[1], quiet[2], false);
        EXCEPTION WHEN insufficient_privilege THEN NULL;
        END;
    END LOOP;
END
$$;

SELECT
    'DO $warn$ BEGIN RAISE WARNING ''the server may have written these passwords into its log or its '
    'statistics'' USING HINT = ''Give each role another one by \password, which sends a digest.''; '
    'END $warn$' AS warn
WHERE :'ops_password' || :'dagster_password' || :'app_password' || :'readonly_password' <> ''
  AND (
      current_setting('log_statement') = 'all'
      OR current_setting('log_min_duration_statement') <> '-1'
      OR current_setting('log_min_duration_sample') <> '-1'
      OR current_setting('log_transaction_sample_rate') <> '0'
      OR coalesce(current_setting('auto_explain.log_min_duration', true), '-1') <> '-1'
      OR current_setting('pg_stat_statements.track', true) = 'all'
          AND current_setting('pg_stat_statements.track_utility', true) = 'on'
  )
\gexec

-- Of a query, the statistics keep no constants, and log_statement = 'ddl' nothing; of ALTER ROLE, both
-- keep the password. Inside a function it is neither's affair. \gset prints nothing.
SELECT
    set_config('ft.ops_password', :'ops_password', false) IS NULL AS ft_ops,
    set_config('ft.dagster_password', :'dagster_password', false) IS NULL AS ft_dagster,
    set_config('ft.app_password', :'app_password', false) IS NULL AS ft_app,
    set_config('ft.readonly_password', :'readonly_password', false) IS NULL AS ft_readonly
\gset kept_

DO $$
DECLARE
    given text[];
BEGIN
    FOREACH given SLICE 1 IN ARRAY ARRAY[
        ['ft_ops', current_setting('ft.ops_password')],
        ['ft_dagster', current_setting('ft.dagster_password')],
        ['ft_app', current_setting('ft.app_password')],
        ['ft_readonly', current_setting('ft.readonly_password')]
    ] LOOP
        CONTINUE WHEN given[2] = '';
        BEGIN
            EXECUTE format('ALTER ROLE %I PASSWORD %L', given[1], given[2]);
        EXCEPTION WHEN OTHERS THEN
            -- Anew, since the context of the first error shows the statement.
            RAISE EXCEPTION 'the password of % was not set: %', given[1], SQLERRM USING ERRCODE = SQLSTATE;
        END;
    END LOOP;
END
$$;
