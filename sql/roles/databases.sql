-- Makes what the operations need on a server from nothing: the application's database and Dagster's,
-- the roles, and their passwords. Run by psql as the server's administrator (a superuser, or on RDS the
-- master user), in any database; safe to run again.
--
--   OPS_PASSWORD=… DAGSTER_PASSWORD=… psql -X "$ADMIN_URL" -f sql/roles/databases.sql
--
-- A password that the environment does not name stays as it is (\password ft_ops asks for one).
-- -v application=… and -v dagster=… name the databases otherwise; -v locale=C is for a server that
-- has no C.UTF-8.
\set ON_ERROR_STOP on
-- An administrator's .psqlrc may say otherwise, and nothing would be kept.
\set AUTOCOMMIT on
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

-- To give it a database, an administrator who is no superuser must be able to become it.
SELECT format('GRANT ft_dagster TO %I', current_user)
WHERE NOT pg_has_role('ft_dagster', 'USAGE')
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
-- Nor should the server's log or its statistics of statements, which more people read, show them.
DO $$
DECLARE
    quiet text[];
BEGIN
    FOREACH quiet SLICE 1 IN ARRAY ARRAY[
        ['log_statement', 'none'],
        ['log_min_duration_statement', '-1'],
        ['log_min_duration_sample', '-1'],
        ['log_transaction_sample_rate', '0'],
        ['log_min_error_statement', 'panic'],
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
    'DO $warn$ BEGIN RAISE WARNING ''the server may have written these passwords into its log'' USING '
    'HINT = ''Give each role another one by \password, which sends a digest.''; END $warn$' AS warn
WHERE (:{?ops_password} OR :{?dagster_password} OR :{?app_password} OR :{?readonly_password})
  AND (
      current_setting('log_statement') <> 'none'
      OR current_setting('log_min_duration_statement') <> '-1'
  )
\gexec

\if :{?ops_password}
ALTER ROLE ft_ops PASSWORD :'ops_password';
\endif
\if :{?dagster_password}
ALTER ROLE ft_dagster PASSWORD :'dagster_password';
\endif
\if :{?app_password}
ALTER ROLE ft_app PASSWORD :'app_password';
\endif
\if :{?readonly_password}
ALTER ROLE ft_readonly PASSWORD :'readonly_password';
\endif
