-- name: database_ages
-- The oldest transaction and multixact id of every database, as shares of the age at which
-- autovacuum freezes by force, and of the one at which a vacuum leaves all else undone. Those that
-- nobody may connect to are autovacuum's alone. Left out is one whose DROP DATABASE was interrupted: neither
-- vacuum gets in there, and the server counts its ids nowhere. Reads pg_database.
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
WHERE d.datconnlimit <> -2
ORDER BY greatest(age(d.datfrozenxid) / limits.freeze, mxid_age(d.datminmxid) / limits.multixact) DESC,
    d.datname;

-- name: table_ages
-- The 20 oldest tables of the operations and the application in this database, and the 20 oldest of
-- the server and its extensions, temporary ones among them, which only their sessions can vacuum. The
-- age of a table is the greater of its own and of its TOAST's, each judged by its own limit. Reads
-- catalogs.
WITH limits AS (
    SELECT
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
        greatest(age(c.relfrozenxid), age(toast_class.relfrozenxid))::bigint AS transaction_age,
        greatest(mxid_age(c.relminmxid), mxid_age(toast_class.relminmxid))::bigint AS multixact_age,
        greatest(
            age(c.relfrozenxid) / own.freeze_limit,
            age(toast_class.relfrozenxid) / beside.freeze_limit
        ) AS transaction_share,
        greatest(
            mxid_age(c.relminmxid) / own.multixact_limit,
            mxid_age(toast_class.relminmxid) / beside.multixact_limit
        ) AS multixact_share,
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
        c.relisshared AS is_shared,
        c.relpersistence = 't' AS is_temporary
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_class AS toast_class ON toast_class.oid = c.reltoastrelid
    CROSS JOIN limits
    CROSS JOIN LATERAL ({own}) AS own
    CROSS JOIN LATERAL ({beside}) AS beside
    WHERE c.relkind IN ('r', 'm')
), shares AS (
    SELECT
        *,
        greatest(transaction_age / failsafe, multixact_age / multixact_failsafe) AS failsafe_share,
        row_number() OVER (
            PARTITION BY is_ours ORDER BY greatest(transaction_share, multixact_share) DESC, name
        ) AS place
    FROM ages
)

SELECT
    name, transaction_age, multixact_age, transaction_share, multixact_share, failsafe_share, is_ours,
    is_shared, is_temporary
FROM shares
WHERE place <= 20
ORDER BY greatest(transaction_share, multixact_share) DESC, name;
