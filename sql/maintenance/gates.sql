-- name: blockers
-- Why an index of this table should not be rebuilt right now. A rebuild waits for every writer of the
-- table, for every snapshot of this database, and, before it removes the old index, for whoever
-- holds any lock on the table: a session idle in its transaction after a SELECT has no snapshot, and
-- holds one. Whoever holds the table in a mode that shuts the rebuild out is in the way at once, all
-- others when they are older than {seconds}. Autovacuum makes room, unless it is against wraparound.
-- Needs pg_monitor to see other users' sessions.
WITH locks AS (
    SELECT
        l.pid,
        bool_or(l.mode IN (
            'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
            'AccessExclusiveLock'
        )) AS shuts_out
    FROM pg_locks AS l
    WHERE l.locktype = 'relation'
      AND l.relation = %(table)s
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND (l.granted OR l.mode = 'AccessExclusiveLock')
    GROUP BY l.pid
)

SELECT format('wraparound vacuum by process %%s', a.pid) AS blocker
FROM pg_stat_progress_vacuum AS p
JOIN pg_stat_activity AS a ON a.pid = p.pid
WHERE p.datname = current_database()
  AND p.relid = %(table)s
  AND a.query LIKE '%%(to prevent wraparound)'
UNION ALL
SELECT format('rebuild by process %%s', p.pid)
FROM pg_stat_progress_create_index AS p
WHERE p.datname = current_database()
  AND p.relid = %(table)s
UNION ALL
SELECT format(
    '%%s of session %%s of %%s (%%s), %%s, open for %%s',
    CASE
        WHEN locks.shuts_out THEN 'lock'
        WHEN a.backend_xmin IS NOT NULL THEN 'snapshot'
        ELSE 'transaction'
    END,
    a.pid,
    coalesce(a.usename, a.backend_type),
    coalesce(nullif(a.application_name, ''), 'no name'),
    coalesce(a.state, 'at work'),
    date_trunc('second', clock_timestamp() - a.xact_start)
)
FROM pg_stat_activity AS a
LEFT JOIN locks ON locks.pid = a.pid
WHERE a.datname = current_database()
  AND a.pid <> pg_backend_pid()
  AND a.backend_type <> 'autovacuum worker'
  AND (
      locks.shuts_out
      OR a.xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
          AND (a.backend_xmin IS NOT NULL OR locks.pid IS NOT NULL)
  )
UNION ALL
SELECT format('prepared transaction %%s', p.gid)
FROM pg_prepared_xacts AS p
WHERE p.database = current_database();

-- name: written_tablespaces
-- The tablespaces in which a table lies, and its indexes, and what is stored beside its rows; and those of
-- temporary files, to which a large sort goes: where none is set or there, that of the database. Reads
-- catalogs.
WITH home AS (
    SELECT d.dattablespace AS oid
    FROM pg_database AS d
    WHERE d.datname = current_database()
), temporary AS (
    SELECT s.oid
    FROM unnest(string_to_array(current_setting('temp_tablespaces'), ',')) AS given (name)
    JOIN pg_tablespace AS s ON s.spcname = CASE
        WHEN btrim(given.name) LIKE '"%%"'
            THEN replace(substr(btrim(given.name), 2, length(btrim(given.name)) - 2), '""', '"')
        ELSE lower(btrim(given.name))
    END
)

SELECT DISTINCT s.spcname::text
FROM pg_class AS t
JOIN pg_class AS c ON c.oid = t.oid OR c.oid = t.reltoastrelid OR c.oid IN (
    SELECT i.indexrelid FROM pg_index AS i WHERE i.indrelid = t.oid
)
CROSS JOIN home
JOIN pg_tablespace AS s ON s.oid = coalesce(nullif(c.reltablespace, 0), home.oid)
WHERE t.oid = %(table)s
UNION
SELECT s.spcname::text
FROM pg_tablespace AS s
WHERE s.oid IN (SELECT oid FROM temporary)
   OR NOT EXISTS (SELECT FROM temporary) AND s.oid = (SELECT oid FROM home);
