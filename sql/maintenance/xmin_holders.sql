-- Who keeps dead rows from being removed, oldest first. Needs pg_monitor to see other users'
-- sessions.
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
    UNION ALL
    SELECT
        format('replication slot %%s (%%s)', slot_name, CASE WHEN active THEN 'active' ELSE 'idle' END),
        greatest(age(xmin), age(catalog_xmin))
    FROM pg_replication_slots
    UNION ALL
    SELECT format('prepared transaction %%s of %%s', gid, owner), age(transaction)
    FROM pg_prepared_xacts
) AS holders
WHERE age IS NOT NULL
ORDER BY age DESC
LIMIT 3;
