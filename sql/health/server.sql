-- name: checksums
-- Whether pages carry checksums, and in which databases one did not match since the statistics were
-- last reset. What all databases share has no name. Statistics views only.
SELECT
    current_setting('data_checksums') = 'on' AS are_on,
    coalesce(d.datname, 'shared catalogs') AS name,
    coalesce(d.checksum_failures, 0)::bigint AS failures,
    d.checksum_last_failure AS last_failure
FROM pg_stat_database AS d
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

-- name: sequences
-- How much of each sequence is used up, of those that have given a number and don't begin again: by
-- its own limit, or by that of a column that it fills, which may be narrower. NULL where its numbers may
-- not be read, or somebody who changes it has it to himself. ROW EXCLUSIVE for a moment on each of the
-- others.
WITH filled AS (
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
), found AS (
    SELECT
        format('%I.%I', n.nspname, c.relname) AS name,
        s.seqincrement,
        s.seqmin::numeric AS least,
        s.seqmax::numeric AS most,
        s.seqcycle,
        columns.most AS column_most,
        access.is_granted,
        access.is_held,
        CASE WHEN access.is_granted AND NOT access.is_held THEN pg_sequence_last_value(c.oid) END
            AS last
    FROM pg_sequence AS s
    JOIN pg_class AS c ON c.oid = s.seqrelid AND c.relpersistence <> 't'
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (
        SELECT min(CASE base.type
            WHEN 'int2'::regtype THEN 32767
            WHEN 'int4'::regtype THEN 2147483647
            ELSE 9223372036854775807
        END)::numeric AS most
        FROM filled AS f
        JOIN pg_attribute AS a ON a.attrelid = f.relation AND a.attnum = f.attribute
        CROSS JOIN LATERAL (
            -- A domain is as narrow as what it is made of.
            WITH RECURSIVE types AS (
                SELECT t.oid AS type, t.typbasetype AS below
                FROM pg_type AS t
                WHERE t.oid = a.atttypid
                UNION ALL
                SELECT t.oid, t.typbasetype
                FROM types
                JOIN pg_type AS t ON t.oid = types.below
            )
            SELECT type FROM types WHERE below = 0
        ) AS base
        WHERE f.sequence = c.oid
    ) AS columns
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
    is_held,
    CASE
        WHEN seqincrement > 0 THEN
            (last - least) / greatest(least(most, column_most) - least, 1)
        ELSE
            (most - last) / greatest(most - greatest(least, -column_most - 1), 1)
    END::float8 AS used
FROM found
WHERE (last IS NOT NULL OR is_held OR NOT is_granted)
  AND NOT (seqcycle AND most <= coalesce(column_most, most))
ORDER BY used DESC NULLS FIRST, name;

-- name: unidentified_publications
-- Tables whose updates and deletes a publication sends out, and whose rows nobody could tell apart at
-- the other end: the server refuses each UPDATE and DELETE of them. Of a partitioned table the
-- partitions count. Reads the catalog, and not pg_publication_tables, which opens each of the tables.
WITH RECURSIVE published AS (
    SELECT p.pubname, c.oid AS relation
    FROM pg_publication AS p
    JOIN pg_class AS c
        ON c.relkind IN ('r', 'p')
        AND c.relpersistence = 'p'
        AND (
            -- 16384 is the first oid that initdb gave to nothing.
            p.puballtables AND c.oid >= 16384
            OR EXISTS (
                SELECT FROM pg_publication_rel AS one
                WHERE one.prpubid = p.oid AND one.prrelid = c.oid
            )
            OR EXISTS (
                SELECT FROM pg_publication_namespace AS every
                WHERE every.pnpubid = p.oid AND every.pnnspid = c.relnamespace
            )
        )
    WHERE p.pubupdate OR p.pubdelete
    UNION
    SELECT published.pubname, link.inhrelid
    FROM published
    JOIN pg_class AS parent ON parent.oid = published.relation AND parent.relkind = 'p'
    JOIN pg_inherits AS link ON link.inhparent = parent.oid
)

SELECT DISTINCT format('%I.%I', n.nspname, c.relname) AS name, p.pubname::text AS publication
FROM published AS p
JOIN pg_class AS c ON c.oid = p.relation AND c.relkind = 'r'
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relreplident = 'n'
   OR c.relreplident = 'd'
      AND NOT EXISTS (
          SELECT FROM pg_index AS i
          WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisvalid
      )
   OR c.relreplident = 'i'
      AND NOT EXISTS (
          SELECT FROM pg_index AS i
          WHERE i.indrelid = c.oid AND i.indisreplident AND i.indisvalid
      )
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

-- name: disabled_subscriptions
-- Subscriptions of this database that fetch nothing. Reads the catalog.
SELECT s.subname::text AS name
FROM pg_subscription AS s
JOIN pg_database AS d ON d.oid = s.subdbid
WHERE d.datname = current_database()
  AND NOT s.subenabled
ORDER BY name;
