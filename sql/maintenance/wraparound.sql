-- name: xmin_holders
-- Who keeps dead rows from being removed, oldest first: in one database, where sessions and prepared
-- transactions of the others keep none, or in all of them, where it is NULL. Needs pg_monitor to see
-- other users' sessions.
SELECT holder, age
FROM (
    SELECT
        format(
            'session %%s of %%s (%%s), %%s for %%s',
            pid, usename, application_name, coalesce(state, backend_type),
            date_trunc('second', clock_timestamp() - coalesce(xact_start, backend_start))
        ) AS holder,
        greatest(age(backend_xmin), age(backend_xid)) AS age
    FROM pg_stat_activity
    WHERE pid <> pg_backend_pid()
      AND (%(database)s::text IS NULL OR datname IS NULL OR datname = %(database)s)
    UNION ALL
    SELECT
        format('replication slot %%s (%%s)', slot_name, CASE WHEN active THEN 'active' ELSE 'idle' END),
        greatest(age(xmin), age(catalog_xmin))
    FROM pg_replication_slots
    UNION ALL
    SELECT format('prepared transaction %%s of %%s', gid, owner), age(transaction)
    FROM pg_prepared_xacts
    WHERE %(database)s::text IS NULL OR database = %(database)s
) AS holders
WHERE age IS NOT NULL
ORDER BY age DESC
LIMIT 3;

-- name: database_ages
-- The oldest transaction and multixact id of every database, as shares of the age at which
-- autovacuum freezes by force. Reads pg_database.
SELECT
    datname AS name,
    age(datfrozenxid)::bigint AS transaction_age,
    mxid_age(datminmxid)::bigint AS multixact_age,
    age(datfrozenxid) / current_setting('autovacuum_freeze_max_age')::float8
        AS transaction_share,
    mxid_age(datminmxid) / current_setting('autovacuum_multixact_freeze_max_age')::float8
        AS multixact_share
FROM pg_database
ORDER BY greatest(
    age(datfrozenxid) / current_setting('autovacuum_freeze_max_age')::float8,
    mxid_age(datminmxid) / current_setting('autovacuum_multixact_freeze_max_age')::float8
) DESC, datname;

-- name: table_ages
-- The oldest tables of this database, those of the server and TOAST included: each of them is
-- vacuumed by force on its own. A table's own setting can only lower the age. Reads catalogs.
SELECT
    c.oid::regclass::text AS name,
    age(c.relfrozenxid)::bigint AS transaction_age,
    mxid_age(c.relminmxid)::bigint AS multixact_age,
    age(c.relfrozenxid) / least(options.freeze, settings.freeze) AS transaction_share,
    mxid_age(c.relminmxid) / least(options.multixact, settings.multixact) AS multixact_share
FROM pg_class AS c
CROSS JOIN (
    SELECT
        current_setting('autovacuum_freeze_max_age')::float8 AS freeze,
        current_setting('autovacuum_multixact_freeze_max_age')::float8 AS multixact
) AS settings
CROSS JOIN LATERAL (
    SELECT
        max(option_value::float8) FILTER (WHERE option_name = 'autovacuum_freeze_max_age')
            AS freeze,
        max(option_value::float8) FILTER (WHERE option_name = 'autovacuum_multixact_freeze_max_age')
            AS multixact
    FROM pg_options_to_table(c.reloptions)
    WHERE option_name IN ('autovacuum_freeze_max_age', 'autovacuum_multixact_freeze_max_age')
) AS options
WHERE c.relkind IN ('r', 'm', 't')
  AND c.relpersistence <> 't'
ORDER BY greatest(
    age(c.relfrozenxid) / least(options.freeze, settings.freeze),
    mxid_age(c.relminmxid) / least(options.multixact, settings.multixact)
) DESC, name
LIMIT 20;
