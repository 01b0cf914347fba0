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
-- autovacuum freezes by force, and of the one at which a vacuum leaves all else undone. Those that
-- nobody may connect to are autovacuum's alone. Reads pg_database.
SELECT
    d.datname AS name,
    age(d.datfrozenxid)::bigint AS transaction_age,
    mxid_age(d.datminmxid)::bigint AS multixact_age,
    age(d.datfrozenxid) / limits.freeze AS transaction_share,
    mxid_age(d.datminmxid) / limits.multixact AS multixact_share,
    greatest(
        age(d.datfrozenxid) / limits.failsafe, mxid_age(d.datminmxid) / limits.multixact_failsafe
    ) AS failsafe_share,
    false AS is_ours,
    d.datallowconn AS is_open
FROM pg_database AS d
CROSS JOIN (
    SELECT
        current_setting('autovacuum_freeze_max_age')::float8 AS freeze,
        current_setting('autovacuum_multixact_freeze_max_age')::float8 AS multixact,
        -- As the server does: a failsafe below the forced freeze would never end.
        greatest(
            current_setting('vacuum_failsafe_age')::float8,
            1.05 * current_setting('autovacuum_freeze_max_age')::float8
        ) AS failsafe,
        greatest(
            current_setting('vacuum_multixact_failsafe_age')::float8,
            1.05 * current_setting('autovacuum_multixact_freeze_max_age')::float8
        ) AS multixact_failsafe
) AS limits
ORDER BY greatest(age(d.datfrozenxid) / limits.freeze, mxid_age(d.datminmxid) / limits.multixact) DESC,
    d.datname;

-- name: table_ages
-- The 20 oldest tables of the operations and the application in this database, and the 20 oldest of
-- the server and its extensions, temporary ones among them, which only their sessions can vacuum. The
-- age of a table is the greater of its own and of its TOAST's. A table's own setting can only lower
-- the limit. Reads catalogs.
WITH limits AS (
    SELECT
        current_setting('autovacuum_freeze_max_age')::float8 AS freeze_age,
        current_setting('autovacuum_multixact_freeze_max_age')::float8 AS multixact_age,
        greatest(
            current_setting('vacuum_failsafe_age')::float8,
            1.05 * current_setting('autovacuum_freeze_max_age')::float8
        ) AS failsafe,
        greatest(
            current_setting('vacuum_multixact_failsafe_age')::float8,
            1.05 * current_setting('autovacuum_multixact_freeze_max_age')::float8
        ) AS multixact_failsafe
), ages AS (
    SELECT
        CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END AS name,
        greatest(age(c.relfrozenxid), age(toast.relfrozenxid))::bigint AS transaction_age,
        greatest(mxid_age(c.relminmxid), mxid_age(toast.relminmxid))::bigint AS multixact_age,
        least(options.freeze_age, limits.freeze_age) AS freeze_limit,
        least(options.multixact_age, limits.multixact_age) AS multixact_limit,
        limits.failsafe,
        limits.multixact_failsafe,
        NOT (
            n.nspname = 'information_schema'
            OR n.nspname LIKE 'pg\_%'
            OR EXISTS (
                SELECT FROM pg_depend AS d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
            )
        ) AS is_ours,
        c.relpersistence = 't' AS is_temporary
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_class AS toast ON toast.oid = c.reltoastrelid
    CROSS JOIN limits
    CROSS JOIN LATERAL (
        SELECT
            max(option_value::float8) FILTER (WHERE option_name = 'autovacuum_freeze_max_age')
                AS freeze_age,
            max(option_value::float8)
                FILTER (WHERE option_name = 'autovacuum_multixact_freeze_max_age') AS multixact_age
        FROM pg_options_to_table(c.reloptions)
        WHERE option_name IN ('autovacuum_freeze_max_age', 'autovacuum_multixact_freeze_max_age')
    ) AS options
    WHERE c.relkind IN ('r', 'm')
), shares AS (
    SELECT
        name,
        transaction_age,
        multixact_age,
        transaction_age / freeze_limit AS transaction_share,
        multixact_age / multixact_limit AS multixact_share,
        greatest(transaction_age / failsafe, multixact_age / multixact_failsafe) AS failsafe_share,
        is_ours,
        is_temporary,
        row_number() OVER (
            PARTITION BY is_ours
            ORDER BY greatest(transaction_age / freeze_limit, multixact_age / multixact_limit) DESC, name
        ) AS place
    FROM ages
)

SELECT
    name, transaction_age, multixact_age, transaction_share, multixact_share, failsafe_share, is_ours,
    is_temporary
FROM shares
WHERE place <= 20
ORDER BY greatest(transaction_share, multixact_share) DESC, name;
