-- name: attached_relation
-- The partition of a table that has a month's bounds, also while its detach is pending. Catalog
-- reads only: no partition is opened, so that nobody who has one to himself keeps the others waiting.
-- (pg_get_expr opens the relation that it is given, and a bound names no column of any.) Bounds are
-- read back as timestamptz: the session's TimeZone does not change them.
SELECT
    c.oid,
    n.nspname::text AS schema,
    c.relname::text AS name,
    format('%%I.%%I', n.nspname, c.relname) AS qualified,
    link.inhparent::regclass::text AS parent,
    link.inhdetachpending AS is_detaching,
    EXISTS (
        SELECT
        FROM pg_trigger AS t
        WHERE t.tgrelid = c.oid
          AND t.tgfoid = 'ops.forget_detached_segment'::regproc
    ) AS follows_deletes
FROM pg_inherits AS link
JOIN pg_class AS c ON c.oid = link.inhrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL regexp_match(
    pg_get_expr(c.relpartbound, 0),
    'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)'
) AS bounds (parts)
WHERE link.inhparent = %(parent)s::regclass
  AND bounds.parts[1]::timestamptz = %(lower)s
  AND bounds.parts[2]::timestamptz = %(upper)s;

-- name: recorded_relation
-- The tables that have an oid or a name, the one with the oid first. Catalog reads only.
SELECT
    c.oid,
    n.nspname::text AS schema,
    c.relname::text AS name,
    format('%%I.%%I', n.nspname, c.relname) AS qualified,
    link.inhparent::regclass::text AS parent,
    coalesce(link.inhdetachpending, false) AS is_detaching,
    EXISTS (
        SELECT
        FROM pg_trigger AS t
        WHERE t.tgrelid = c.oid
          AND t.tgfoid = 'ops.forget_detached_segment'::regproc
    ) AS follows_deletes
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_inherits AS link ON link.inhrelid = c.oid
WHERE (c.oid = %(oid)s OR c.oid = to_regclass(%(name)s))
  AND c.relkind = 'r'
ORDER BY c.oid = %(oid)s DESC;

-- name: stands_elsewhere
-- Whether the table with an oid is a month of content that is attached to nothing: it has the trigger
-- by which a month refuses TRUNCATE. Catalog reads only.
SELECT c.oid::regclass::text
FROM pg_class AS c
WHERE c.oid = %(oid)s
  AND c.relkind = 'r'
  AND NOT EXISTS (SELECT FROM pg_inherits AS link WHERE link.inhrelid = c.oid)
  AND EXISTS (
      SELECT
      FROM pg_trigger AS t
      WHERE t.tgrelid = c.oid
        AND t.tgfoid = 'public.refuse_truncate'::regproc
  );

-- name: named_relation
-- A table by schema and name. Catalog reads only.
SELECT
    c.oid,
    n.nspname::text AS schema,
    c.relname::text AS name,
    format('%%I.%%I', n.nspname, c.relname) AS qualified,
    link.inhparent::regclass::text AS parent,
    coalesce(link.inhdetachpending, false) AS is_detaching,
    EXISTS (
        SELECT
        FROM pg_trigger AS t
        WHERE t.tgrelid = c.oid
          AND t.tgfoid = 'ops.forget_detached_segment'::regproc
    ) AS follows_deletes
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_inherits AS link ON link.inhrelid = c.oid
WHERE n.nspname = %(schema)s
  AND c.relname = %(name)s
  AND c.relkind = 'r';

-- name: follow_deletes
-- SHARE ROW EXCLUSIVE on one month's partition: only under a short lock_timeout. A run that is
-- repeated makes it again.
CREATE OR REPLACE TRIGGER forget_detached AFTER DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION ops.forget_detached_segment();

-- name: stop_following_deletes
-- SHARE ROW EXCLUSIVE on a table that stands alone, in the transaction that attaches it.
DROP TRIGGER IF EXISTS forget_detached ON {table};

-- name: keep_counted
-- SHARE ROW EXCLUSIVE on a table that stands alone, for an instant: who writes to it ends before. From then on
-- its rows only go, and only with their threads. A run that is repeated makes it again.
CREATE OR REPLACE TRIGGER keep_counted BEFORE INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION ops.keep_counted_row();

-- name: keep_counted_always
-- The same lock, in the same transaction: whatever session_replication_role says.
ALTER TABLE {table} ENABLE ALWAYS TRIGGER keep_counted;

-- name: forget_counted
-- ACCESS EXCLUSIVE on a table that stands alone, in the transaction that attaches it.
DROP TRIGGER IF EXISTS keep_counted ON {table};

-- name: kept_as_counted
-- Whether each of some tables stands alone under the trigger that keeps its rows as they were counted; and in one
-- text who they are and each trigger that keeps rows or takes them along with a thread. Whoever alters a table, or
-- turns a trigger off and on again, makes another version of its row in the catalog, and so another text. Catalog
-- reads only.
SELECT
    count(*) = cardinality(%(tables)s::oid[]) AND bool_and(
        NOT c.relispartition
        AND EXISTS (
            SELECT
            FROM pg_trigger AS t
            WHERE t.tgrelid = c.oid
              AND t.tgfoid = to_regproc('ops.keep_counted_row')
              AND t.tgenabled = 'A'
              -- BEFORE each row, INSERT, UPDATE and DELETE: of any column, and under no condition.
              AND t.tgtype = 31
              AND t.tgattr = ''::int2vector
              AND t.tgqual IS NULL
        )
    ) AS is_kept,
    string_agg(
        concat_ws(
            ' ',
            c.oid,
            c.xmin,
            c.oid::regclass,
            (
                SELECT string_agg(concat_ws(' ', t.oid, t.xmin, t.tgenabled), ', ' ORDER BY t.oid)
                FROM pg_trigger AS t
                WHERE c.oid IN (t.tgrelid, t.tgconstrrelid)
            )
        ),
        '; ' ORDER BY c.oid
    ) AS version
FROM pg_class AS c
WHERE c.oid = ANY (%(tables)s::oid[]);

-- name: forget_lone_columns
-- What was noted of a table, and of tables that are gone: a few rows of the operations' own.
DELETE FROM ops.lone_columns AS l
WHERE l.relation = %(relation)s
   OR NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = l.relation);

-- name: note_lone_columns
-- Which columns a table has, and which of its parent's they are. Catalog reads.
INSERT INTO ops.lone_columns (relation, name, number, parent, parent_number)
SELECT own.attrelid, own.attname, own.attnum, theirs.attrelid, theirs.attnum
FROM pg_attribute AS own
JOIN pg_attribute AS theirs
    ON theirs.attrelid = %(parent)s::regclass
   AND theirs.attname = own.attname
WHERE own.attrelid = %(relation)s
  AND own.attnum > 0
  AND NOT own.attisdropped;

-- name: renewed_columns
-- The columns of a table that are what they were, while its parent has another one of that name since;
-- and when they were noted. Generated ones are made anew anyway. Catalog reads.
SELECT l.name, l.noted_at
FROM ops.lone_columns AS l
JOIN pg_attribute AS own
    ON own.attrelid = l.relation
   AND own.attnum = l.number
   AND own.attname = l.name
   AND own.attgenerated = ''
JOIN pg_attribute AS theirs
    ON theirs.attrelid = l.parent
   AND theirs.attname = l.name
   AND theirs.attnum <> l.parent_number
   AND theirs.attgenerated = ''
WHERE l.relation = %(relation)s
ORDER BY l.name;

-- name: dependents
-- What goes by a table or by its row's type, and would keep it from being dropped, in words: a view, a
-- function, a policy, a column. What is the table's own does not count. Catalog reads only.
SELECT DISTINCT
    coalesce(
        (
            SELECT pg_describe_object('pg_class'::regclass, r.ev_class, 0)
            FROM pg_rewrite AS r
            WHERE d.classid = 'pg_rewrite'::regclass
              AND r.oid = d.objid
        ),
        pg_describe_object(d.classid, d.objid, d.objsubid)
    ) AS dependent
FROM pg_class AS c
JOIN pg_type AS t ON t.oid = c.reltype
JOIN pg_depend AS d
    ON d.deptype = 'n'
   AND (
       d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
       OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray)
   )
WHERE c.oid = %(oid)s
  AND d.classid <> 'pg_trigger'::regclass
  AND NOT (d.classid = 'pg_class'::regclass AND d.objid = c.oid)
  AND NOT EXISTS (
      SELECT
      FROM pg_rewrite AS own
      WHERE d.classid = 'pg_rewrite'::regclass
        AND own.oid = d.objid
        AND own.ev_class = c.oid
  )
  AND NOT EXISTS (
      SELECT
      FROM pg_constraint AS own
      WHERE d.classid = 'pg_constraint'::regclass
        AND own.oid = d.objid
        AND own.conrelid = c.oid
  )
  AND NOT EXISTS (
      SELECT
      FROM pg_policy AS own
      WHERE d.classid = 'pg_policy'::regclass
        AND own.oid = d.objid
        AND own.polrelid = c.oid
  )
  AND NOT EXISTS (
      SELECT
      FROM pg_attrdef AS own
      WHERE d.classid = 'pg_attrdef'::regclass
        AND own.oid = d.objid
        AND own.adrelid = c.oid
  )
ORDER BY dependent;
