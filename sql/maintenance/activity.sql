-- name: ids_at_last_look
-- How far transaction ids are now, how far they were at the newest look that is an hour old, and the
-- seconds since then; NULL where there was none.
SELECT
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_xid,
    past.next_xid AS next_xid_then,
    extract(epoch FROM %(now)s - past.looked_at)::float8 AS seconds
FROM (VALUES (1)) AS present (one)
LEFT JOIN LATERAL (
    SELECT a.next_xid, a.looked_at
    FROM ops.table_activity AS a
    WHERE a.next_xid IS NOT NULL
      AND a.looked_at <= %(now)s - interval '1 hour'
    ORDER BY a.looked_at DESC
    LIMIT 1
) AS past ON true;

-- name: note_activity
-- A row for each table of some size: its counters and settings as they are. Reads catalogs and
-- statistics, opens no table. A second look at the same moment changes nothing.
INSERT INTO ops.table_activity (
    table_oid, looked_at, live_rows, dead_rows, updated, hot_updated, newpage_updated, deleted,
    autovacuums, vacuum_trigger, was_held_back, vacuum_settings, fillfactor, next_xid
)
SELECT
    c.oid,
    %(now)s,
    s.n_live_tup,
    s.n_dead_tup,
    s.n_tup_upd,
    s.n_tup_hot_upd,
    (to_jsonb(s) ->> 'n_tup_newpage_upd')::bigint,
    s.n_tup_del,
    s.autovacuum_count,
    own.vacuum_trigger,
    %(is_held_back)s,
    concat_ws(
        ' ', own.off_by, own.vacuum_threshold, own.vacuum_scale, own.cost_limit, own.rests
    ),
    own.fillfactor,
    %(next_xid)s
FROM pg_class AS c
JOIN pg_stat_user_tables AS s ON s.relid = c.oid
CROSS JOIN LATERAL ({own}) AS own
WHERE c.relkind = 'r'
  AND c.relpersistence = 'p'
  AND c.relpages >= %(least_pages)s
ON CONFLICT DO NOTHING;

-- name: forget_activity
-- Looks that are older than the advice goes back.
DELETE FROM ops.table_activity
WHERE looked_at < %(before)s;

-- name: activity
-- Every look of the last weeks at the tables that are there, oldest first, with each table's size and
-- settings as they are today, and those of then. Reads catalogs; opens no table.
SELECT
    c.oid::bigint AS oid,
    n.nspname AS schema,
    c.relname AS name,
    coalesce(parent.relname, '') AS parent_name,
    c.relpages::bigint * 8192 AS heap_bytes,
    own.fillfactor,
    own.vacuum_threshold AS threshold,
    own.vacuum_scale AS scale,
    own.cost_limit,
    own.off_by,
    own.rests,
    a.vacuum_settings,
    a.fillfactor AS fillfactor_then,
    a.looked_at,
    a.live_rows,
    a.dead_rows,
    a.updated,
    a.hot_updated,
    a.newpage_updated,
    a.deleted,
    a.autovacuums,
    a.vacuum_trigger,
    a.was_held_back
FROM ops.table_activity AS a
JOIN pg_class AS c ON c.oid = a.table_oid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_inherits AS link ON link.inhrelid = c.oid AND c.relispartition
LEFT JOIN pg_class AS parent ON parent.oid = link.inhparent
CROSS JOIN LATERAL ({own}) AS own
WHERE a.looked_at >= %(since)s
  AND a.looked_at <= %(until)s
ORDER BY c.oid, a.looked_at;

-- name: column_pairs
-- The first two columns of each index that is not unique: queries ask for them together. Without
-- those of partitions, which follow their parent, those of extensions, and those that statistics of
-- their own are kept of. Pages and rows are what was counted last, of a parent those of its
-- partitions. Reads catalogs; opens no table.
WITH RECURSIVE tree AS (
    SELECT c.oid AS root, c.oid AS member
    FROM pg_class AS c
    WHERE c.relkind IN ('r', 'p')
      AND NOT c.relispartition
    UNION ALL
    SELECT tree.root, link.inhrelid
    FROM tree
    JOIN pg_inherits AS link ON link.inhparent = tree.member
), sizes AS (
    SELECT
        tree.root,
        sum(c.relpages)::bigint AS pages,
        sum(greatest(c.reltuples, 0))::float8 AS rows
    FROM tree
    JOIN pg_class AS c ON c.oid = tree.member AND c.relkind = 'r'
    GROUP BY tree.root
)

SELECT DISTINCT
    t.oid::bigint AS oid,
    n.nspname AS schema,
    t.relname AS table_name,
    a.attname AS first,
    b.attname AS second,
    sizes.pages,
    sizes.rows
FROM pg_index AS i
JOIN pg_class AS t ON t.oid = i.indrelid AND NOT t.relispartition
JOIN pg_class AS x ON x.oid = i.indexrelid
JOIN pg_am AS am ON am.oid = x.relam AND am.amname = 'btree'
JOIN pg_namespace AS n ON n.oid = t.relnamespace
JOIN sizes ON sizes.root = t.oid
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = i.indkey[0] AND a.attnum > 0
JOIN pg_attribute AS b ON b.attrelid = t.oid AND b.attnum = i.indkey[1] AND b.attnum > 0
WHERE i.indisvalid
  AND NOT i.indisunique
  AND i.indnkeyatts >= 2
  AND n.nspname <> 'information_schema'
  AND n.nspname NOT LIKE 'pg\_%%'
  AND sizes.rows >= %(least_rows)s
  AND NOT EXISTS (
      SELECT FROM pg_depend AS d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e'
  )
  AND NOT EXISTS (
      SELECT FROM pg_statistic_ext AS e
      WHERE e.stxrelid = t.oid AND e.stxkeys::smallint[] @> ARRAY[a.attnum, b.attnum]
  )
ORDER BY n.nspname, t.relname, a.attname, b.attname;

-- name: pair_counts
-- How many sampled rows have two values, and each of them, of those that are frequent enough to tell.
-- Reads {percent} of the table's pages under ACCESS SHARE; of large tables one row a page, as ANALYZE
-- does: rows that lie together are alike.
WITH rows AS MATERIALIZED (
    SELECT
        {first}::text AS first,
        {second}::text AS second,
        row_number() OVER (PARTITION BY tableoid, {page} ORDER BY random()) AS number
    FROM {table} TABLESAMPLE SYSTEM (%(percent)s)
    WHERE random() < %(share)s
), pairs AS (
    SELECT first, second, count(*) AS together
    FROM rows
    WHERE number <= %(of_page)s
    GROUP BY first, second
), counted AS (
    SELECT
        first,
        second,
        together,
        sum(together) OVER (PARTITION BY first) AS of_first,
        sum(together) OVER (PARTITION BY second) AS of_second,
        sum(together) OVER () AS seen
    FROM pairs
)

SELECT together::bigint, of_first::bigint, of_second::bigint, seen::bigint
FROM counted
WHERE together >= %(least)s
  AND first IS NOT NULL
  AND second IS NOT NULL;
