-- name: standing_alone
-- What bears a month's name of this parent and is not attached to it. Catalog reads only.
SELECT
    c.relname AS name,
    CASE c.relkind
        WHEN 'r' THEN CASE c.relpersistence WHEN 'p' THEN 'table' ELSE 'unlogged table' END
        WHEN 'p' THEN 'partitioned table'
        WHEN 'v' THEN 'view'
        WHEN 'm' THEN 'materialized view'
        WHEN 'f' THEN 'foreign table'
        ELSE 'relation'
    END AS kind,
    (
        SELECT string_agg(link.inhparent::regclass::text, ', ' ORDER BY link.inhseqno)
        FROM pg_inherits AS link
        WHERE link.inhrelid = c.oid
    ) AS attached_to
FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace
  AND c.relname ~ ('^' || %(parent)s || '_\d{4}_(0[1-9]|1[0-2])$')
  AND NOT EXISTS (
      SELECT
      FROM pg_inherits AS link
      WHERE link.inhrelid = c.oid
        AND link.inhparent = %(parent)s::regclass
  )
ORDER BY c.relname;

-- name: shape_differences
-- What a table lacks of its future parent's columns and constraints, or has of its own, in words.
-- CHECK constraints must bear the parent's names: ATTACH matches them so. Catalog reads only.
WITH columns AS (
    SELECT
        a.attrelid,
        format('column %%I %%s', a.attname, format_type(a.atttypid, a.atttypmod))
            || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END AS part
    FROM pg_attribute AS a
    WHERE a.attrelid IN (%(table)s::regclass, %(parent)s::regclass)
      AND a.attnum > 0
      AND NOT a.attisdropped
),

constraints AS (
    SELECT
        con.conrelid,
        CASE con.contype WHEN 'c' THEN format('constraint %%I ', con.conname) ELSE '' END
            || pg_get_constraintdef(con.oid) AS part
    FROM pg_constraint AS con
    WHERE con.conrelid IN (%(table)s::regclass, %(parent)s::regclass)
      AND con.contype IN ('c', 'f', 'p')
),

parts AS (
    SELECT attrelid = %(parent)s::regclass AS is_parents, part FROM columns
    UNION ALL
    SELECT conrelid = %(parent)s::regclass, part FROM constraints
)

SELECT 'it has no ' || p.part
FROM parts AS p
WHERE p.is_parents
  AND NOT EXISTS (SELECT FROM parts AS o WHERE NOT o.is_parents AND o.part = p.part)
UNION ALL
SELECT 'it has a ' || p.part
FROM parts AS p
WHERE NOT p.is_parents
  AND p.part LIKE 'column %%'
  AND NOT EXISTS (SELECT FROM parts AS o WHERE o.is_parents AND o.part = p.part)
ORDER BY 1;

-- name: lock_table
-- ACCESS EXCLUSIVE on a table that stands alone, until the transaction ends.
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;

-- name: drop_table
-- A table that was found empty under ACCESS EXCLUSIVE in this transaction.
DROP TABLE {table};

-- name: freeze
-- SHARE ROW EXCLUSIVE on a table that stands alone, for an instant: nobody inserts or updates
-- there until it is attached. Deletes pass, because those of a thread cascade into it.
CREATE OR REPLACE TRIGGER repair_in_progress BEFORE INSERT OR UPDATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_write_during_repair();

-- name: follow_deletes
-- SHARE ROW EXCLUSIVE on a table that stands alone, for an instant: a row that goes takes its key
-- along, as it would in an attached partition.
CREATE OR REPLACE TRIGGER repair_forget_key AFTER DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION forget_segment_key();

-- name: unfreeze
-- ACCESS EXCLUSIVE on a table that stands alone, for an instant.
DROP TRIGGER IF EXISTS repair_in_progress ON {table};

-- name: unfollow_deletes
-- ACCESS EXCLUSIVE on a table that stands alone, for an instant.
DROP TRIGGER IF EXISTS repair_forget_key ON {table};

-- name: drop_bounds_check
-- ACCESS EXCLUSIVE on one table for an instant.
ALTER TABLE {table} DROP CONSTRAINT IF EXISTS repair_bounds;

-- name: add_bounds_check
-- ACCESS EXCLUSIVE on a table that stands alone, for an instant: NOT VALID scans nothing.
ALTER TABLE {table}
    DROP CONSTRAINT IF EXISTS repair_bounds,
    ADD CONSTRAINT repair_bounds CHECK (created_at >= {lower} AND created_at < {upper}) NOT VALID;

-- name: validate_bounds_check
-- SHARE UPDATE EXCLUSIVE on a table that stands alone while it is scanned: readers and writers go
-- on. ATTACH then finds its bounds proven and scans nothing under its stronger locks.
ALTER TABLE {table} VALIDATE CONSTRAINT repair_bounds;

-- name: rows_without_key
-- Rows whose key is missing or says otherwise. One hash join of the table with its month's keys.
SELECT count(*)
FROM {table} AS s
LEFT JOIN content_segment_keys AS k
    ON k.id = s.id
   AND k.created_at = s.created_at
   AND k.thread_id = s.thread_id
   AND k.sequence_number = s.sequence_number
WHERE k.id IS NULL;

-- name: rows_archived
-- Rows that the archive holds too: then this table is a copy, and the key belongs to the other.
SELECT count(*)
FROM {table} AS s
WHERE EXISTS (
    SELECT
    FROM archived_content_segments AS a
    WHERE a.id = s.id
      AND a.created_at = s.created_at
);

-- name: rows_without_thread
-- Rows whose thread or user is gone. None in ordinary life: two hash anti-joins.
SELECT count(*)
FROM {table} AS s
WHERE NOT EXISTS (SELECT FROM threads AS t WHERE t.id = s.thread_id)
   OR NOT EXISTS (SELECT FROM users AS u WHERE u.id = s.user_id);

-- name: delete_orphaned_keys
-- Keys of a month whose thread was deleted while their table stood alone: the row went by the
-- cascade, its key, narrations, tags and links did not. Row locks on these keys only.
DELETE FROM content_segment_keys AS k
WHERE k.created_at >= %(lower)s
  AND k.created_at < %(upper)s
  AND NOT EXISTS (SELECT FROM threads AS t WHERE t.id = k.thread_id)
  AND NOT EXISTS (SELECT FROM {table} AS s WHERE s.id = k.id AND s.created_at = k.created_at);
