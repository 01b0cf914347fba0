-- name: content_paths
-- Every way by which the deletion of a segment's key takes a row of another table along: chains of
-- foreign keys with ON DELETE CASCADE, and where a chain comes back to a table that it has passed.
-- Those of partitions are their parent's. Catalog reads only.
WITH RECURSIVE paths AS (
    SELECT con.conrelid AS child, ARRAY[con.oid] AS keys, ARRAY[con.conrelid] AS seen, false AS loops
    FROM pg_constraint AS con
    WHERE con.contype = 'f'
      AND con.confdeltype = 'c'
      AND con.conparentid = 0
      AND con.confrelid = 'public.content_segment_keys'::regclass
    UNION ALL
    SELECT con.conrelid, con.oid || p.keys, con.conrelid || p.seen, con.conrelid = ANY (p.seen)
    FROM paths AS p
    JOIN pg_constraint AS con ON con.confrelid = p.child
    WHERE con.contype = 'f'
      AND con.confdeltype = 'c'
      AND con.conparentid = 0
      AND NOT p.loops
)

SELECT
    p.child,
    p.loops,
    hops.path
FROM paths AS p
CROSS JOIN LATERAL (
    SELECT
        jsonb_agg(
            jsonb_build_object(
                'columns', (
                    SELECT jsonb_agg(a.attname ORDER BY k.place)
                    FROM unnest(con.conkey) WITH ORDINALITY AS k (attnum, place)
                    JOIN pg_attribute AS a ON a.attrelid = con.conrelid AND a.attnum = k.attnum
                ),
                'schema', n.nspname,
                'parent', c.relname,
                'parent_columns', (
                    SELECT jsonb_agg(a.attname ORDER BY k.place)
                    FROM unnest(con.confkey) WITH ORDINALITY AS k (attnum, place)
                    JOIN pg_attribute AS a ON a.attrelid = con.confrelid AND a.attnum = k.attnum
                )
            )
            ORDER BY key.place
        ) AS path
    FROM unnest(p.keys) WITH ORDINALITY AS key (oid, place)
    JOIN pg_constraint AS con ON con.oid = key.oid
    JOIN pg_class AS c ON c.oid = con.confrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
) AS hops
ORDER BY p.child, p.keys;

-- name: content_tables
-- What the catalog says of some tables: name, columns, key, checks, and the foreign keys that lead
-- elsewhere. Catalog reads only.
SELECT
    c.oid,
    n.nspname::text AS schema,
    c.relname::text AS relname,
    (
        SELECT
            jsonb_agg(
                jsonb_build_object(
                    'name', a.attname,
                    'number', a.attnum,
                    'type', format_type(a.atttypid, a.atttypmod),
                    'base', a.atttypid::regtype::text,
                    'collation', (
                        SELECT a.attcollation::regcollation::text
                        FROM pg_type AS t
                        WHERE t.oid = a.atttypid
                          AND a.attcollation <> t.typcollation
                    ),
                    'not_null', a.attnotnull,
                    'default', CASE
                        WHEN a.attidentity <> '' THEN format(
                            'nextval(%%L)', pg_get_serial_sequence(c.oid::regclass::text, a.attname)
                        )
                        -- A default names no column: with its table, the server would name all of them for each.
                        WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, 0)
                    END,
                    'generated', CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END
                )
                ORDER BY a.attnum
            )
        FROM pg_attribute AS a
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = c.oid
          AND a.attnum > 0
          AND NOT a.attisdropped
    ) AS columns,
    coalesce(
        (
            SELECT jsonb_agg(a.attname ORDER BY k.place)
            FROM pg_constraint AS con
            CROSS JOIN LATERAL unnest(con.conkey) WITH ORDINALITY AS k (attnum, place)
            JOIN pg_attribute AS a ON a.attrelid = con.conrelid AND a.attnum = k.attnum
            WHERE con.conrelid = c.oid
              AND con.contype = 'p'
        ),
        '[]'
    ) AS key,
    coalesce(
        (
            SELECT
                jsonb_agg(
                    jsonb_build_object(
                        'name', con.conname,
                        'definition', pg_get_expr(con.conbin, con.conrelid),
                        'valid', con.convalidated
                    )
                    ORDER BY con.conname
                )
            FROM pg_constraint AS con
            WHERE con.conrelid = c.oid
              AND con.contype = 'c'
        ),
        '[]'
    ) AS checks,
    coalesce(
        (
            SELECT
                jsonb_agg(
                    jsonb_build_object(
                        'columns', (
                            SELECT jsonb_agg(a.attname ORDER BY k.place)
                            FROM unnest(con.conkey) WITH ORDINALITY AS k (attnum, place)
                            JOIN pg_attribute AS a
                                ON a.attrelid = con.conrelid AND a.attnum = k.attnum
                        ),
                        'schema', pn.nspname,
                        'table', p.relname,
                        'parent_columns', (
                            SELECT jsonb_agg(a.attname ORDER BY k.place)
                            FROM unnest(con.confkey) WITH ORDINALITY AS k (attnum, place)
                            JOIN pg_attribute AS a
                                ON a.attrelid = con.confrelid AND a.attnum = k.attnum
                        ),
                        'sets_null', con.confdeltype = 'n'
                    )
                    ORDER BY con.conname
                )
            FROM pg_constraint AS con
            JOIN pg_class AS p ON p.oid = con.confrelid
            JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
            WHERE con.conrelid = c.oid
              AND con.contype = 'f'
              AND con.conparentid = 0
              AND con.confrelid <> ALL (%(tables)s::oid[] || %(keys)s::oid)
        ),
        '[]'
    ) AS references
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = ANY (%(tables)s::oid[]);

-- name: content_signature
-- One value for everything that decides what a deletion of keys takes along, and what of it an
-- archive holds: the cascading foreign keys, the columns of their tables, and what else happens when a
-- row of them is deleted. Catalog reads only, about a millisecond.
WITH RECURSIVE reached AS (
    SELECT con.oid AS key, con.conrelid AS child
    FROM pg_constraint AS con
    WHERE con.contype = 'f'
      AND con.confdeltype = 'c'
      AND con.conparentid = 0
      AND con.confrelid = 'public.content_segment_keys'::regclass
    UNION
    SELECT con.oid, con.conrelid
    FROM reached AS r
    JOIN pg_constraint AS con ON con.confrelid = r.child
    WHERE con.contype = 'f'
      AND con.confdeltype = 'c'
      AND con.conparentid = 0
)

SELECT
    md5(
        concat_ws(
            ';',
            (SELECT string_agg(key::text, ',' ORDER BY key) FROM reached),
            (
                SELECT
                    string_agg(
                        concat_ws(
                            ' ', a.attrelid, a.attname, a.atttypid, a.atttypmod, a.attgenerated
                        ),
                        ',' ORDER BY a.attrelid, a.attnum
                    )
                FROM pg_attribute AS a
                WHERE a.attrelid IN (SELECT child FROM reached)
                  AND a.attnum > 0
                  AND NOT a.attisdropped
            ),
            (
                SELECT string_agg(concat_ws(' ', t.oid, t.tgenabled), ',' ORDER BY t.oid)
                FROM pg_trigger AS t
                JOIN pg_proc AS p ON p.oid = t.tgfoid
                WHERE t.tgrelid IN (
                        SELECT child FROM reached
                        UNION ALL
                        SELECT 'public.content_segment_keys'::regclass
                    )
                  AND NOT t.tgisinternal
                  -- DELETE
                  AND t.tgtype & 8 <> 0
                  AND p.pronamespace <> 'ops'::regnamespace
            ),
            (
                SELECT string_agg(r.oid::text, ',' ORDER BY r.oid)
                FROM pg_rewrite AS r
                WHERE r.ev_class IN (
                        SELECT child FROM reached
                        UNION ALL
                        SELECT 'public.content_segment_keys'::regclass
                    )
                  AND r.ev_type = '4'
            )
        )
    );

-- name: lock_content
-- ROW EXCLUSIVE on the tables that the deletion of keys reaches, as the deletion itself takes it,
-- but before the transaction's snapshot: whoever adds a foreign key or a column has done so, and is
-- seen, or waits until this batch is done. Nobody who reads or writes rows waits.
LOCK TABLE {tables} IN ROW EXCLUSIVE MODE;

-- name: untrusted_tables
-- What in some tables keeps their rows from being archived and brought back as they are, in words.
-- Catalog reads only.
SELECT found.oid, found.cause, found.next_step
FROM (
    SELECT
        c.oid,
        'it is ' || CASE c.relkind
            WHEN 'r' THEN 'part of an inheritance tree' ELSE 'no ordinary table' END AS cause,
        'make it an ordinary or a partitioned table' AS next_step
    FROM pg_class AS c
    WHERE c.oid = ANY (%(tables)s::oid[])
      AND (
          c.relkind NOT IN ('r', 'p')
          OR EXISTS (
              SELECT
              FROM pg_inherits AS i
              WHERE c.relkind = 'r'
                AND (i.inhparent = c.oid OR i.inhrelid = c.oid AND NOT c.relispartition)
          )
      )
    UNION ALL
    SELECT
        c.oid,
        'it has no primary key',
        'give it one: rows are kept and brought back by their keys'
    FROM pg_class AS c
    WHERE c.oid = ANY (%(tables)s::oid[])
      AND NOT EXISTS (
          SELECT FROM pg_constraint AS con WHERE con.conrelid = c.oid AND con.contype = 'p'
      )
    UNION ALL
    SELECT
        c.oid,
        'the operations role may not ' || CASE
            WHEN NOT has_table_privilege(c.oid, 'SELECT') THEN 'read it'
            WHEN NOT has_table_privilege(c.oid, 'INSERT') THEN 'write to it'
            ELSE 'see all of its rows' END,
        'let its owner be the operations role, as of the other tables'
    FROM pg_class AS c
    WHERE c.oid = ANY (%(tables)s::oid[])
      AND (
          NOT has_table_privilege(c.oid, 'SELECT')
          OR NOT has_table_privilege(c.oid, 'INSERT')
          OR row_security_active(c.oid)
      )
    UNION ALL
    SELECT
        t.tgrelid,
        format('its trigger %%I does something when rows are removed or brought back', t.tgname),
        'put what it does elsewhere, or its function into the schema ops if an archive and a thaw '
            || 'should run it'
    FROM pg_trigger AS t
    JOIN pg_proc AS p ON p.oid = t.tgfoid
    WHERE t.tgrelid = ANY (%(tables)s::oid[])
      AND NOT t.tgisinternal
      AND t.tgenabled <> 'D'
      -- INSERT is 4, DELETE is 8.
      AND t.tgtype & 12 <> 0
      AND p.pronamespace <> 'ops'::regnamespace
      AND t.tgfoid <> ALL (
          '{public.register_segment_key, public.forget_segment_key}'::regproc[]
      )
    UNION ALL
    SELECT
        r.ev_class,
        format('its rule %%I replaces what removes or brings back rows', r.rulename),
        'drop the rule'
    FROM pg_rewrite AS r
    WHERE r.ev_class = ANY (%(tables)s::oid[])
      AND r.ev_type IN ('3', '4')
) AS found
ORDER BY found.oid, found.cause;

-- name: what_changes_arrivals
-- What would make other rows of those that a thaw inserts, or keep them out, in words: triggers and rules
-- for INSERT on tables of content, on the archive's parent and on the registry of keys, and what the
-- operations role may not do. Catalog reads only.
SELECT t.tgrelid::regclass::text, format('its trigger %%I does something when rows come back', t.tgname)
FROM pg_trigger AS t
JOIN pg_proc AS p ON p.oid = t.tgfoid
WHERE t.tgrelid = ANY (%(tables)s::oid[])
  AND NOT t.tgisinternal
  AND t.tgenabled <> 'D'
  -- INSERT
  AND t.tgtype & 4 <> 0
  AND p.pronamespace <> 'ops'::regnamespace
  AND t.tgfoid <> 'public.register_segment_key'::regproc
UNION ALL
SELECT r.ev_class::regclass::text, format('its rule %%I replaces what brings back rows', r.rulename)
FROM pg_rewrite AS r
WHERE r.ev_class = ANY (%(tables)s::oid[])
  AND r.ev_type = '3'
UNION ALL
SELECT c.oid::regclass::text, 'the operations role may not write to it, or see all of its rows'
FROM pg_class AS c
WHERE c.oid = ANY (%(tables)s::oid[])
  AND (
      NOT has_table_privilege(c.oid, 'SELECT')
      OR NOT has_table_privilege(c.oid, 'INSERT')
      OR row_security_active(c.oid)
  )
ORDER BY 1, 2;

-- name: other_references
-- Foreign keys to some tables, or to a segment's key, whose rows a removal would not take along but
-- change, or by which it would be refused. Catalog reads only.
SELECT
    con.conname::text AS name,
    n.nspname::text AS schema,
    c.relname::text AS relname,
    con.confrelid AS parent,
    con.confdeltype::text AS on_delete,
    (
        SELECT jsonb_agg(a.attname ORDER BY k.place)
        FROM unnest(con.conkey) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = con.conrelid AND a.attnum = k.attnum
    ) AS columns,
    (
        SELECT jsonb_agg(a.attname ORDER BY k.place)
        FROM unnest(con.confkey) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = con.confrelid AND a.attnum = k.attnum
    ) AS parent_columns
FROM pg_constraint AS con
JOIN pg_class AS c ON c.oid = con.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE con.contype = 'f'
  AND con.confdeltype <> 'c'
  AND con.conparentid = 0
  AND con.confrelid = ANY (
      %(tables)s::oid[] || 'public.content_segment_keys'::regclass::oid
  )
ORDER BY con.conrelid::regclass::text, con.conname;

-- name: references_to_segments
-- Foreign keys to a table of segments itself: while there is one, no month can be detached. Catalog
-- reads only.
SELECT con.conrelid::regclass::text, con.conname::text
FROM pg_constraint AS con
WHERE con.contype = 'f'
  AND con.confrelid IN (
      'public.content_segments'::regclass, 'public.archived_content_segments'::regclass
  )
ORDER BY 1, 2;

-- name: segment_tables
-- Who the archive's parent and the registry of keys are. Catalog reads only.
SELECT
    'public.archived_content_segments'::regclass::oid,
    'public.content_segment_keys'::regclass::oid;

-- name: oids
-- Who some tables are, in the order of their names. Catalog reads only.
SELECT to_regclass(format('%%I.%%I', t.schema, t.name))::oid
FROM unnest(%(schemas)s::text[], %(names)s::text[]) WITH ORDINALITY AS t (schema, name, place)
ORDER BY t.place;

-- name: column_changes
-- What migrations have declared about columns and tables of content: a few rows.
SELECT table_name, column_name, change, new_name, value, declared_at
FROM ops.column_changes
ORDER BY declared_at, table_name, column_name;
