-- name: note_checksum_failures
-- Keeps what the counters of checksums show, until somebody deletes it: a crash empties them. And whoever
-- resets the counters of one table after that, leaves the same time of reset as one who resets them all.
-- Writes a row a database that has any.
INSERT INTO ops.checksum_failures AS known
    (database_oid, database_name, failures, last_failure, seen_at)
SELECT
    d.datid, coalesce(d.datname, 'shared catalogs'), d.checksum_failures, d.checksum_last_failure, now()
FROM pg_stat_database AS d
WHERE d.checksum_failures > 0
ON CONFLICT (database_oid) DO UPDATE
SET database_name = excluded.database_name,
    failures = CASE
        WHEN known.database_name <> excluded.database_name THEN excluded.failures
        ELSE greatest(known.failures, excluded.failures)
    END,
    last_failure = excluded.last_failure,
    seen_at = excluded.seen_at;

-- name: checksums
-- Whether pages carry checksums, and in which databases one did not match: by the counters, and by what
-- they showed before a crash or a reset, as long as that stands in our own record. What all databases share
-- has no name. Statistics views, and that record.
SELECT
    current_setting('data_checksums') = 'on' AS are_on,
    coalesce(d.datname, 'shared catalogs') AS name,
    greatest(d.checksum_failures, known.failures, 0)::bigint AS failures,
    greatest(d.checksum_last_failure, known.last_failure) AS last_failure
FROM pg_stat_database AS d
LEFT JOIN ops.checksum_failures AS known
    ON known.database_oid = d.datid
    AND known.database_name = coalesce(d.datname, 'shared catalogs')
ORDER BY failures DESC, name;

-- name: unvalidated_constraints
-- Constraints that were added NOT VALID and never validated: new rows obey them, nobody knows about the
-- old ones. A partition's copy is its parent's. Left out are those that are declared not to be
-- enforced. Reads the catalog.
SELECT
    format('%I.%I', n.nspname, coalesce(c.relname, t.typname)) AS name,
    con.conname AS constraint_name
FROM pg_constraint AS con
JOIN pg_namespace AS n ON n.oid = con.connamespace
LEFT JOIN pg_class AS c ON c.oid = con.conrelid
LEFT JOIN pg_type AS t ON t.oid = con.contypid
WHERE NOT con.convalidated
  AND to_jsonb(con) ->> 'conenforced' IS DISTINCT FROM 'false'
  AND n.nspname !~ '^(pg_|information_schema$)'
  AND con.conparentid = 0
  AND (con.coninhcount = 0 OR con.conislocal)
ORDER BY name, constraint_name;

-- name: outdated_collations
-- Collations that indexes or columns of this database use, other than the database's own, whose
-- library sorts in another way than when they were made. Reads the catalog and asks the library.
SELECT
    format('%I.%I', n.nspname, c.collname) AS name,
    c.collversion AS made_with,
    actual.version AS found,
    (
        SELECT count(DISTINCT d.objid)
        FROM pg_depend AS d
        WHERE d.refclassid = 'pg_collation'::regclass
          AND d.refobjid = c.oid
    )::integer AS users
FROM pg_collation AS c
JOIN pg_namespace AS n ON n.oid = c.collnamespace
CROSS JOIN LATERAL (SELECT pg_collation_actual_version(c.oid) AS version) AS actual
WHERE c.collversion IS DISTINCT FROM actual.version
  AND c.collversion IS NOT NULL
  AND EXISTS (
      SELECT
      FROM pg_depend AS d
      WHERE d.refclassid = 'pg_collation'::regclass
        AND d.refobjid = c.oid
        AND d.classid <> 'pg_extension'::regclass
  )
ORDER BY name;

-- name: outdated_extensions
-- Extensions that were made by another version than the one whose files the server has: the update
-- was never run. No version found: the files are gone. Reads the catalog, and the folder of extensions.
SELECT e.extname AS name, e.extversion AS installed, a.default_version AS found
FROM pg_extension AS e
LEFT JOIN pg_available_extensions AS a ON a.name = e.extname
WHERE a.default_version IS DISTINCT FROM e.extversion
ORDER BY name;

-- name: uncalled_sequences
-- Sequences that have given no number since they were set: what they would give first stands in themselves
-- alone, and may be near their end. Not those that somebody changes now. ROW EXCLUSIVE for a moment on
-- each of the others.
SELECT s.seqrelid::bigint AS oid, n.nspname AS schema, c.relname AS name
FROM pg_sequence AS s
JOIN pg_class AS c ON c.oid = s.seqrelid AND c.relpersistence <> 't'
JOIN pg_namespace AS n ON n.oid = c.relnamespace
-- In this order: whoever asks a sequence that somebody changes waits for him.
WHERE CASE
    WHEN NOT has_sequence_privilege(s.seqrelid, 'SELECT') THEN false
    WHEN EXISTS (
        SELECT
        FROM pg_locks AS l
        JOIN pg_database AS d ON d.oid = l.database
        WHERE l.relation = s.seqrelid
          AND d.datname = current_database()
          AND l.pid <> pg_backend_pid()
          AND l.mode IN (
              'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'
          )
    ) THEN false
    ELSE pg_sequence_last_value(s.seqrelid) IS NULL
END;

-- name: first_number
-- What a sequence gives first. ACCESS SHARE on it for a moment.
SELECT last_value FROM {sequence};

-- name: sequences
-- How much of each sequence is used up, of those that don't begin again: by its own limit, or by that of
-- the narrowest column that takes its numbers, by its default or by a foreign key. NULL where its numbers
-- may not be read, or somebody who changes it has it to himself. ROW EXCLUSIVE for a moment on each of the
-- others.
WITH RECURSIVE filled AS (
    (
        SELECT d.objid AS sequence, d.refobjid AS relation, d.refobjsubid AS attribute
        FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass
          AND d.refclassid = 'pg_class'::regclass
          AND d.deptype IN ('a', 'i')
          AND d.refobjsubid > 0
        UNION
        SELECT d.refobjid, def.adrelid, def.adnum
        FROM pg_depend AS d
        JOIN pg_attrdef AS def ON def.oid = d.objid
        WHERE d.classid = 'pg_attrdef'::regclass
          AND d.refclassid = 'pg_class'::regclass
    )
    UNION
    SELECT filled.sequence, k.conrelid, k.conkey[place]
    FROM filled
    JOIN pg_constraint AS k ON k.contype = 'f' AND k.confrelid = filled.relation
    CROSS JOIN LATERAL generate_subscripts(k.confkey, 1) AS place
    WHERE k.confkey[place] = filled.attribute
), found AS (
    SELECT
        format('%%I.%%I', n.nspname, c.relname) AS name,
        s.seqincrement,
        s.seqmin::numeric AS least,
        s.seqmax::numeric AS most,
        s.seqcycle,
        columns.most AS column_most,
        columns.name AS column_name,
        access.is_granted,
        access.is_held,
        CASE
            WHEN access.is_granted AND NOT access.is_held
                THEN coalesce(pg_sequence_last_value(c.oid), uncalled.first_number)
        END AS last
    FROM pg_sequence AS s
    JOIN pg_class AS c ON c.oid = s.seqrelid AND c.relpersistence <> 't'
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN unnest(%(uncalled)s::oid[], %(first_numbers)s::bigint[])
        AS uncalled (oid, first_number) ON uncalled.oid = c.oid
    LEFT JOIN LATERAL (
        SELECT
            limits.most,
            format('%%I.%%I.%%I', home.nspname, t.relname, a.attname) AS name
        FROM filled AS f
        JOIN pg_attribute AS a ON a.attrelid = f.relation AND a.attnum = f.attribute
        JOIN pg_class AS t ON t.oid = f.relation
        JOIN pg_namespace AS home ON home.oid = t.relnamespace
        CROSS JOIN LATERAL (
            -- A domain is as narrow as what it is made of.
            WITH RECURSIVE types AS (
                SELECT t.oid AS type, t.typbasetype AS below, a.atttypmod AS modifier,
                    t.typtypmod AS modifier_below
                FROM pg_type AS t
                WHERE t.oid = a.atttypid
                UNION ALL
                SELECT t.oid, t.typbasetype, types.modifier_below, t.typtypmod
                FROM types
                JOIN pg_type AS t ON t.oid = types.below
            )
            SELECT type, modifier FROM types WHERE below = 0
        ) AS base
        CROSS JOIN LATERAL (
            SELECT CASE
                WHEN base.type = 'int2'::regtype THEN 32767
                WHEN base.type = 'int4'::regtype THEN 2147483647
                -- Digits before the point, of numeric(7, 2) five.
                WHEN base.type = 'numeric'::regtype AND base.modifier >= 4
                    THEN power(
                        10::numeric,
                        ((base.modifier - 4) >> 16) - (((base.modifier - 4) & 2047) # 1024) + 1024
                    ) - 1
                ELSE 9223372036854775807
            END::numeric AS most
        ) AS limits
        WHERE f.sequence = c.oid
        ORDER BY limits.most, name
        LIMIT 1
    ) AS columns ON true
    CROSS JOIN LATERAL (
        SELECT
            has_sequence_privilege(c.oid, 'SELECT, USAGE') AS is_granted,
            EXISTS (
                SELECT
                FROM pg_locks AS l
                JOIN pg_database AS d ON d.oid = l.database
                WHERE l.relation = c.oid
                  AND d.datname = current_database()
                  AND l.pid <> pg_backend_pid()
                  AND l.mode IN (
                      'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'
                  )
            ) AS is_held
    ) AS access
)

SELECT
    name,
    CASE WHEN column_most < most THEN column_name END AS narrow_column,
    is_held,
    CASE
        WHEN seqincrement > 0 THEN
            (last - least) / greatest(least(most, column_most) - least, 1)
        ELSE
            (most - last) / greatest(most - greatest(least, -column_most - 1), 1)
    END::float8 AS used
FROM found
WHERE NOT (seqcycle AND most <= coalesce(column_most, most))
ORDER BY used DESC NULLS FIRST, name;

-- name: publications_of_all
-- Publications that send out the rows of whatever table comes into the schemas of ours: some are made as months come
-- and go. Reads the catalog.
SELECT p.pubname::text
FROM pg_publication AS p
WHERE p.pubinsert
  AND (
      p.puballtables
      OR EXISTS (
          SELECT
          FROM pg_publication_namespace AS every
          JOIN pg_namespace AS n ON n.oid = every.pnnspid
          WHERE every.pnpubid = p.oid
            AND n.nspname IN ('ops', 'public')
      )
  )
ORDER BY p.pubname;

-- name: refusing_publications
-- Tables whose updates and deletes a publication sends out, and of which the server refuses each UPDATE
-- and DELETE: their rows have nothing by which the other end tells them apart, or the publication's list
-- of columns lacks some of that, or its condition asks for more. Of a partitioned table the partitions
-- count. Reads the catalog, and not pg_publication_tables, which opens each of the tables.
WITH RECURSIVE named AS (
    SELECT r.prpubid, r.prrelid, columns.sent, columns.asked
    FROM pg_publication_rel AS r
    CROSS JOIN LATERAL (
        SELECT
            (
                SELECT array_agg(a.attname)
                FROM pg_attribute AS a
                WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::smallint[])
            ) AS sent,
            (
                -- As the catalog stores an expression: to have it in words opens the table.
                SELECT array_agg(DISTINCT a.attname)
                FROM regexp_matches(r.prqual::text, ':varattno (\d+)', 'g') AS number
                JOIN pg_attribute AS a
                    ON a.attrelid = r.prrelid AND a.attnum = number[1]::smallint
            ) AS asked
    ) AS columns
), published AS (
    SELECT p.pubname, c.oid AS relation, named.sent, named.asked
    FROM pg_publication AS p
    JOIN pg_class AS c
        ON c.relkind IN ('r', 'p')
        AND c.relpersistence = 'p'
    LEFT JOIN named ON named.prpubid = p.oid AND named.prrelid = c.oid
    WHERE (p.pubupdate OR p.pubdelete)
      AND (
          -- 16384 is the first oid that initdb gave to nothing.
          p.puballtables AND c.oid >= 16384
          OR named.prrelid IS NOT NULL
          OR EXISTS (
              SELECT FROM pg_publication_namespace AS every
              WHERE every.pnpubid = p.oid AND every.pnnspid = c.relnamespace
          )
      )
    UNION
    SELECT published.pubname, link.inhrelid, published.sent, published.asked
    FROM published
    JOIN pg_class AS parent ON parent.oid = published.relation AND parent.relkind = 'p'
    JOIN pg_inherits AS link ON link.inhparent = parent.oid
), judged AS (
    SELECT
        format('%I.%I', n.nspname, c.relname) AS name,
        p.pubname::text AS publication,
        CASE
            WHEN c.relreplident <> 'f' AND identity.columns IS NULL
                THEN 'whose rows have no replica identity'
            WHEN p.sent IS NOT NULL AND (c.relreplident = 'f' OR NOT p.sent @> identity.columns)
                THEN 'and its list of columns lacks some of their replica identity'
            WHEN c.relreplident <> 'f' AND NOT identity.columns @> p.asked
                THEN 'and its condition asks for more than their replica identity'
        END AS why
    FROM published AS p
    JOIN pg_class AS c ON c.oid = p.relation AND c.relkind = 'r'
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (
        -- A key that is checked at the end of a transaction is none.
        SELECT array_agg(a.attname) AS columns
        FROM pg_index AS i
        JOIN pg_attribute AS a
            ON a.attrelid = c.oid
            AND a.attnum = ANY ((i.indkey::smallint[])[0:i.indnkeyatts - 1])
        WHERE i.indrelid = c.oid
          AND i.indisvalid
          AND i.indimmediate
          AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)
    ) AS identity
)

SELECT DISTINCT name, publication, why
FROM judged
WHERE why IS NOT NULL
ORDER BY name, publication;

-- name: idle_slots
-- Replication slots that nobody reads: since when, where the server is new enough to know it, the log
-- that each holds back, and why it is of no use any more, if it isn't. Statistics views only.
SELECT
    s.slot_name AS name,
    (to_jsonb(s) ->> 'inactive_since')::timestamptz AS since,
    CASE
        WHEN pg_is_in_recovery() THEN 0
        ELSE coalesce(greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0), 0)
    END::bigint AS held_bytes,
    coalesce(
        to_jsonb(s) ->> 'invalidation_reason',
        CASE WHEN s.wal_status = 'lost' THEN 'log that it needs is gone' END,
        CASE WHEN to_jsonb(s) ->> 'conflicting' = 'true' THEN 'rows that it needs are gone' END
    ) AS invalid
FROM pg_replication_slots AS s
WHERE NOT s.active
  AND NOT s.temporary
ORDER BY name;

-- name: resting_subscriptions
-- Subscriptions of this database that fetch nothing now, or that failed to copy a table. Reads the
-- catalog and statistics.
SELECT
    s.subname::text AS name,
    CASE
        WHEN NOT s.subenabled THEN 'is disabled'
        WHEN NOT EXISTS (
            SELECT FROM pg_stat_subscription AS w
            WHERE w.subid = s.oid AND w.relid IS NULL AND w.pid IS NOT NULL
        ) THEN 'is enabled, and nobody fetches for it: its worker fails'
        ELSE format(
            'has not copied %s of its tables, and failed %s times to', copies.missing, copies.failed
        )
    END AS why
FROM pg_subscription AS s
JOIN pg_database AS d ON d.oid = s.subdbid
LEFT JOIN pg_stat_subscription_stats AS stats ON stats.subid = s.oid
CROSS JOIN LATERAL (
    SELECT
        (
            SELECT count(*) FROM pg_subscription_rel AS r
            WHERE r.srsubid = s.oid AND r.srsubstate NOT IN ('r', 's')
        ) AS missing,
        -- Under either name that versions have for it.
        coalesce(
            to_jsonb(stats) ->> 'sync_error_count', to_jsonb(stats) ->> 'sync_table_error_count', '0'
        )::bigint AS failed
) AS copies
WHERE d.datname = current_database()
  AND (
      NOT s.subenabled
      OR copies.missing > 0 AND copies.failed > 0
      OR NOT EXISTS (
          SELECT FROM pg_stat_subscription AS w
          WHERE w.subid = s.oid AND w.relid IS NULL AND w.pid IS NOT NULL
      )
  )
ORDER BY name;
