-- name: note_usage
-- Compares every index's scans with those of the last look: more of them, or a counter that began
-- anew, mean that it is in use. While the server counts nothing (track_counts), nothing is known to be
-- unused. Reads statistics, writes a row an index.
INSERT INTO ops.index_usage AS known (schema_name, index_name, scans, unused_since)
SELECT schemaname, indexrelname, idx_scan, %(now)s
FROM pg_stat_user_indexes
ON CONFLICT (schema_name, index_name) DO UPDATE
SET scans = excluded.scans, unused_since = excluded.unused_since
WHERE known.scans <> excluded.scans
   OR NOT current_setting('track_counts')::boolean;

-- name: forget_usage
-- Indexes that are gone: one that takes the name later begins anew.
DELETE FROM ops.index_usage AS known
WHERE NOT EXISTS (
    SELECT
    FROM pg_stat_user_indexes AS s
    WHERE s.schemaname = known.schema_name AND s.indexrelname = known.index_name
);

-- name: note_own_scans
-- The scans of our own estimates are nobody's use. Counters must have been flushed before.
UPDATE ops.index_usage AS known
SET scans = s.idx_scan
FROM pg_stat_user_indexes AS s
WHERE s.schemaname = known.schema_name
  AND s.indexrelname = known.index_name
  AND s.idx_scan <> known.scans;

-- name: duplicate_indexes
-- Indexes that another one of the same table makes superfluous: it has the same columns in the
-- same way, or begins with them. Partitions follow their parent and are left out, and so are the
-- tables of extensions, and those that are locked. Bytes are what the last vacuums counted.
WITH RECURSIVE candidates AS (
    SELECT
        i.*,
        c.relname AS name,
        c.relam,
        i.indkey::text || ' ' AS keys,
        i.indclass::text || ' ' AS classes,
        i.indcollation::text || ' ' AS collations,
        i.indoption::text || ' ' AS options,
        coalesce(texts.expressions, '') AS expressions,
        coalesce(texts.predicate, '') AS predicate
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    CROSS JOIN LATERAL (
        SELECT i.indrelid = ANY (%(locked)s::oid[])
    ) AS held (is_locked)
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN NOT held.is_locked THEN pg_get_expr(i.indexprs, i.indrelid) END AS expressions,
            CASE WHEN NOT held.is_locked THEN pg_get_expr(i.indpred, i.indrelid) END AS predicate
    ) AS texts
    WHERE i.indisvalid
      AND NOT c.relispartition
      AND NOT held.is_locked
), tree AS (
    SELECT indexrelid AS root, indexrelid AS member
    FROM candidates
    UNION ALL
    SELECT tree.root, link.inhrelid
    FROM tree
    JOIN pg_inherits AS link ON link.inhparent = tree.member
), sizes AS (
    SELECT tree.root, sum(c.relpages)::bigint * 8192 AS bytes
    FROM tree
    JOIN pg_class AS c ON c.oid = tree.member
    GROUP BY tree.root
)

SELECT
    n.nspname AS schema,
    t.relname AS table_name,
    a.name,
    sizes.bytes,
    CASE
        WHEN a.keys = b.keys THEN 'same as ' || b.name
        ELSE 'the beginning of ' || b.name
    END AS finding
FROM candidates AS a
JOIN candidates AS b ON b.indrelid = a.indrelid AND b.indexrelid <> a.indexrelid
    AND b.relam = a.relam
JOIN sizes ON sizes.root = a.indexrelid
JOIN pg_class AS t ON t.oid = a.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_am AS am ON am.oid = a.relam
WHERE NOT a.indisexclusion
  -- What a subscriber tells the rows by.
  AND NOT a.indisreplident
  AND a.predicate = b.predicate
  AND a.expressions = b.expressions
  AND a.indnkeyatts = a.indnatts
  AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = a.indexrelid)
  AND n.nspname <> 'information_schema'
  AND n.nspname NOT LIKE 'pg\_%%'
  AND NOT EXISTS (
      SELECT FROM pg_depend AS d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = a.indrelid AND d.deptype = 'e'
  )
  AND (
      -- The same: the one that enforces nothing goes, else the later one.
      a.keys = b.keys
      AND a.classes = b.classes
      AND a.collations = b.collations
      AND a.options = b.options
      AND (
          NOT a.indisunique AND (b.indisunique OR a.indexrelid > b.indexrelid)
          OR a.indisunique
          AND b.indisunique
          AND a.indnullsnotdistinct = b.indnullsnotdistinct
          AND a.indexrelid > b.indexrelid
      )
      -- A beginning: of use only to a btree, and only without expressions to line up.
      OR am.amname = 'btree'
      AND NOT a.indisunique
      AND a.expressions = ''
      AND a.indnkeyatts < b.indnkeyatts
      AND starts_with(b.keys, a.keys)
      AND starts_with(b.classes, a.classes)
      AND starts_with(b.collations, a.collations)
      AND starts_with(b.options, a.options)
  )
ORDER BY bytes DESC, a.name, finding;

-- name: unindexed_foreign_keys
-- Foreign keys whose columns no index begins with: a delete or an update of the key on the other
-- side reads the whole table. An index over the rows that have a key will do; one that can't find a
-- single row won't. Partitions follow their parent and are left out, and so are the tables of
-- extensions, and those that are locked.
SELECT
    n.nspname AS schema,
    t.relname AS table_name,
    k.conname AS name,
    0::bigint AS bytes,
    format(
        'no index on %%s begins with (%%s)',
        t.relname,
        (
            SELECT string_agg(a.attname, ', ' ORDER BY position)
            FROM unnest(k.conkey) WITH ORDINALITY AS columns (number, position)
            JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = columns.number
        )
    ) AS finding
FROM pg_constraint AS k
JOIN pg_class AS t ON t.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
WHERE k.contype = 'f'
  AND k.conparentid = 0
  AND k.conrelid <> ALL (%(locked)s::oid[])
  AND n.nspname NOT LIKE 'pg\_%%'
  AND NOT EXISTS (
      SELECT FROM pg_depend AS d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = k.conrelid AND d.deptype = 'e'
  )
  AND NOT EXISTS (
      SELECT
      FROM pg_index AS i
      JOIN pg_class AS x ON x.oid = i.indexrelid
      JOIN pg_am AS am ON am.oid = x.relam AND am.amname IN ('btree', 'hash')
      WHERE i.indrelid = k.conrelid
        AND i.indisvalid
        AND (
            i.indpred IS NULL
            OR EXISTS (
                SELECT
                FROM pg_attribute AS a
                WHERE a.attrelid = k.conrelid
                  AND a.attnum = ANY (k.conkey)
                  AND format('(%%I IS NOT NULL)', a.attname) = CASE
                      WHEN i.indrelid <> ALL (%(locked)s::oid[])
                          THEN pg_get_expr(i.indpred, i.indrelid)
                  END
            )
        )
        AND cardinality(k.conkey) <= i.indnkeyatts
        -- indkey counts from 0; the order of the columns among themselves doesn't matter.
        AND (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] @> k.conkey
  )
ORDER BY n.nspname, t.relname, k.conname;

-- name: unused_indexes
-- Indexes that no query has used since a moment, by every look that was taken at their scans; of a
-- partitioned index, in any partition. Reads catalogs; bytes are what the last vacuums counted.
WITH RECURSIVE tree AS (
    SELECT i.indexrelid AS root, i.indexrelid AS member
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE NOT c.relispartition
    UNION ALL
    SELECT tree.root, link.inhrelid
    FROM tree
    JOIN pg_inherits AS link ON link.inhparent = tree.member
), usage AS (
    SELECT
        tree.root,
        sum(c.relpages::bigint) * 8192 AS bytes,
        max(known.unused_since) AS unused_since
    FROM tree
    JOIN pg_class AS c ON c.oid = tree.member
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN ops.index_usage AS known
        ON known.schema_name = n.nspname AND known.index_name = c.relname
    GROUP BY tree.root
)
SELECT
    n.nspname AS schema,
    t.relname AS table_name,
    c.relname AS name,
    usage.bytes::bigint AS bytes,
    format(
        'not used since %%s%%s',
        to_char(usage.unused_since, 'YYYY-MM-DD'),
        CASE WHEN replicas.are_there THEN ' here; its replicas count for themselves' END
    ) AS finding
FROM usage
JOIN pg_index AS i ON i.indexrelid = usage.root
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
CROSS JOIN (
    SELECT EXISTS (
        SELECT
        FROM pg_stat_replication AS r
        LEFT JOIN pg_replication_slots AS slot ON slot.active_pid = r.pid
        WHERE slot.slot_type IS DISTINCT FROM 'logical'
    ) AS are_there
) AS replicas
WHERE usage.unused_since <= %(before)s
  AND i.indisvalid
  AND NOT i.indisunique
  AND NOT i.indisexclusion
  AND n.nspname <> 'information_schema'
  AND n.nspname NOT LIKE 'pg\_%%'
  AND NOT EXISTS (
      SELECT FROM pg_depend AS d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indrelid AND d.deptype = 'e'
  )
ORDER BY usage.bytes DESC, c.relname;
