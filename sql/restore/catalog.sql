-- name: columns
-- Every column of the tables that can hold a family's rows, in order. A partition is its table's, and
-- the operations' own schema is left out. Catalog reads only.
SELECT
    n.nspname::text AS schema,
    c.relname::text AS name,
    a.attname::text AS column_name,
    format_type(a.atttypid, a.atttypmod) AS type,
    a.attnotnull AS not_null,
    a.attgenerated <> '' AS is_generated,
    a.attidentity::text AS identity
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p')
  AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'ops')
  AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY n.nspname, c.relname, a.attnum;

-- name: primary_keys
-- The columns of each table's primary key, in its order. Catalog reads only.
SELECT
    n.nspname::text AS schema,
    c.relname::text AS name,
    (
        SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM unnest(con.conkey) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum
    ) AS columns
FROM pg_constraint AS con
JOIN pg_class AS c ON c.oid = con.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE con.contype = 'p'
  AND NOT c.relispartition;

-- name: foreign_keys
-- What hangs on what: each foreign key once, also one of or to a partitioned table. Catalog reads only.
SELECT
    con.conname::text AS name,
    format('%s.%s', cn.nspname, child.relname) AS child,
    format('%s.%s', pn.nspname, parent.relname) AS parent,
    (
        SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM unnest(con.conkey) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = con.conrelid AND a.attnum = k.attnum
    ) AS columns,
    (
        SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM unnest(con.confkey) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = con.confrelid AND a.attnum = k.attnum
    ) AS referenced,
    con.confdeltype::text AS on_delete
FROM pg_constraint AS con
JOIN pg_class AS child ON child.oid = con.conrelid
JOIN pg_namespace AS cn ON cn.oid = child.relnamespace
JOIN pg_class AS parent ON parent.oid = con.confrelid
JOIN pg_namespace AS pn ON pn.oid = parent.relnamespace
WHERE con.contype = 'f'
  AND con.conparentid = 0
  AND NOT child.relispartition
  AND cn.nspname <> 'ops'
ORDER BY child, con.conkey;

-- name: months_alone
-- Tables of segments that are no partition: months between two steps of the archive. Catalog reads only.
SELECT format('%s.%s', n.nspname, c.relname)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r'
  AND NOT c.relispartition
  AND (
      n.nspname = 'public' AND c.relname ~ '^(archived_)?content_segments_\d{4}_\d{2}$'
      OR EXISTS (
          SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname = 'refuse_held_alone'
      )
  )
ORDER BY 1;

-- name: waiting_links
-- The columns of the links that wait for a month of the archive; none where nothing waits. Catalog reads
-- only.
SELECT a.attname::text
FROM pg_attribute AS a
WHERE a.attrelid = to_regclass('ops.waiting_links')
  AND a.attnum > 0
  AND NOT a.attisdropped;

-- name: uniques
-- The unique indexes of a table but its primary key, with the expressions that they are over. Catalog
-- reads only.
SELECT
    c.relname::text AS name,
    (
        SELECT array_agg(pg_get_indexdef(i.indexrelid, k, true) ORDER BY k)
        FROM generate_series(1, i.indnkeyatts) AS k
    ) AS expressions,
    pg_get_expr(i.indpred, i.indrelid) AS predicate,
    coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) AS nulls_are_equal
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = %(table)s::regclass
  AND i.indisunique
  AND NOT i.indisprimary
ORDER BY c.relname;

-- name: checks
-- What a table asks of its rows. Catalog reads only.
SELECT con.conname::text AS name, pg_get_expr(con.conbin, con.conrelid) AS expression
FROM pg_constraint AS con
WHERE con.conrelid = %(table)s::regclass
  AND con.contype = 'c'
ORDER BY con.conname;
