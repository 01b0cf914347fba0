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
