-- name: horizon_holders
-- Who keeps dead rows from being removed and ids from being frozen; in which database, NULL for all of
-- them, and whether in catalogs alone, as the readers of logical changes do. A snapshot is as old as the
-- oldest transaction that was at work when it was taken: so whoever owns that transaction is named, in
-- the databases of all who hold its id, and before those who do. Of these the ones are named that would
-- hold on after it. A vacuum holds nothing; the owner of an id holds his own database. Needs pg_monitor
-- to see other users' sessions. Reads shared memory.
WITH sessions AS MATERIALIZED (
    SELECT
        a.pid,
        CASE
            WHEN a.backend_type = 'walsender' AND a.datname IS NULL
                THEN format('queries on the replica %s', a.application_name)
            ELSE format(
                'session %s of %s (%s), %s for %s',
                a.pid, coalesce(a.usename, a.backend_type), a.application_name,
                coalesce(a.state, 'at work'),
                date_trunc('second', clock_timestamp() - coalesce(a.xact_start, a.backend_start))
            )
        END AS name,
        CASE
            WHEN a.backend_type = 'walsender' AND a.datname IS NULL
                THEN format('end the longest query on the replica %s', a.application_name)
            ELSE format(
                'end session %s of %s (%s)',
                a.pid, coalesce(a.usename, a.backend_type), a.application_name
            )
        END AS remedy,
        a.datname,
        -- What a replica asks for is as old as its longest query, which it does not tell.
        CASE
            WHEN a.datname IS NOT NULL
                THEN extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.backend_start))
        END AS seconds,
        a.backend_xid,
        a.backend_xmin
    FROM pg_stat_activity AS a
    WHERE a.pid <> pg_backend_pid()
      AND a.leader_pid IS NULL
      AND (a.datname IS NOT NULL OR a.backend_type = 'walsender')
      AND a.pid NOT IN (SELECT p.pid FROM pg_stat_progress_vacuum AS p)
      AND (
          a.backend_type <> 'autovacuum worker'
          OR a.pid IN (SELECT p.pid FROM pg_stat_progress_analyze AS p)
      )
), claims AS MATERIALIZED (
    SELECT
        'session ' || pid AS id, name, remedy, datname AS database, seconds, false AS is_at_rest,
        backend_xid AS xid, true AS is_its_own, false AS of_catalogs
    FROM sessions
    WHERE backend_xid IS NOT NULL
    UNION ALL
    SELECT 'session ' || pid, name, remedy, datname, seconds, false, backend_xmin, false, false
    FROM sessions
    WHERE backend_xmin IS NOT NULL
    UNION ALL
    SELECT
        'prepared ' || gid,
        format('prepared transaction %s of %s', gid, owner),
        format(
            'COMMIT PREPARED %L or ROLLBACK PREPARED %L in database %s', gid, gid, database
        ),
        database,
        extract(epoch FROM clock_timestamp() - prepared),
        true,
        transaction,
        true,
        false
    FROM pg_prepared_xacts
    UNION ALL
    SELECT
        'slot ' || s.slot_name,
        format(
            'replication slot %s (%s)', s.slot_name, CASE WHEN s.active THEN 'active' ELSE 'idle' END
        ),
        CASE
            WHEN NOT s.active THEN format(
                'let the reader of replication slot %s connect, or drop the slot if nobody needs it',
                s.slot_name
            )
            WHEN s.slot_type = 'logical'
                THEN format('let the reader of replication slot %s catch up', s.slot_name)
            ELSE format('end the longest query on the replica of slot %s', s.slot_name)
        END,
        NULL,
        NULL,
        NOT s.active,
        claimed.xid,
        false,
        claimed.of_catalogs
    FROM pg_replication_slots AS s
    CROSS JOIN LATERAL (
        VALUES (s.xmin, false), (s.catalog_xmin, true)
    ) AS claimed (xid, of_catalogs)
    WHERE claimed.xid IS NOT NULL
), owners AS (
    SELECT * FROM claims WHERE is_its_own
), traced AS (
    SELECT
        coalesce(o.id, c.id) AS id,
        coalesce(o.name, c.name) AS name,
        coalesce(o.remedy, c.remedy) AS remedy,
        c.database,
        CASE WHEN o.id IS NULL THEN c.seconds ELSE o.seconds END AS seconds,
        c.of_catalogs,
        c.xid,
        false AS follows
    FROM claims AS c
    LEFT JOIN owners AS o ON o.xid = c.xid AND NOT c.is_its_own AND o.id <> c.id
    UNION ALL
    SELECT c.id, c.name, c.remedy, c.database, c.seconds, c.of_catalogs, c.xid, true
    FROM claims AS c
    JOIN owners AS o ON o.xid = c.xid AND o.id <> c.id
    WHERE NOT c.is_its_own
      AND (c.is_at_rest OR c.seconds > 60)
)

SELECT
    name,
    remedy,
    database,
    of_catalogs,
    max(age(xid))::bigint AS age,
    (array_agg(xid ORDER BY age(xid) DESC))[1]::text::bigint AS xid,
    max(seconds)::float8 AS seconds
FROM traced
GROUP BY id, name, remedy, database, of_catalogs
ORDER BY bool_and(follows), max(age(xid)) DESC, max(seconds) DESC NULLS LAST, name;
