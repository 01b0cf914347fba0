-- name: table_states
-- Every table, or one by its oid, partitioned parents first, with the counters and triggers that say
-- what it needs. Reads catalogs and statistics; pg_relation_size takes ACCESS SHARE on each table
-- for a moment, but for those that are locked: their size is what the last vacuum counted.
SELECT
    c.oid::bigint AS oid,
    n.nspname AS schema,
    c.relname AS name,
    c.relkind = 'p' AS is_parent,
    c.relfilenode::bigint AS file_node,
    coalesce(parent_class.relname, '') AS parent_name,
    bounds.parts[1]::timestamptz AS lower_bound,
    bounds.parts[2]::timestamptz AS upper_bound,
    owner.rolname AS owner,
    owner.rolsuper AS is_superusers,
    -- The server's own tables, and those of extensions: looked after when they are named.
    (
        n.nspname = 'information_schema'
        OR n.nspname LIKE 'pg\_%%'
        OR EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    ) AS is_servers,
    c.relisshared AS is_shared,
    -- Who may vacuum all of a database finds nothing in a schema that is closed to him.
    has_schema_privilege(n.oid, 'USAGE') AND (
        pg_has_role(c.relowner, 'USAGE')
        OR NOT c.relisshared AND pg_has_role(
            (SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE'
        )
        -- That of pg_maintain, too, from version 17 on.
        OR CASE
            WHEN current_setting('server_version_num')::integer >= 170000
                THEN has_table_privilege(c.oid, 'MAINTAIN')
            ELSE false
        END
    ) AS may_vacuum,
    c.relpages::bigint AS pages,
    c.relallvisible::bigint AS visible_pages,
    CASE
        WHEN c.relkind = 'p' THEN 0
        WHEN c.oid = ANY (%(locked)s::oid[]) THEN c.relpages::bigint * 8192
        ELSE coalesce(pg_relation_size(c.oid), 0)
    END AS bytes,
    coalesce(s.n_live_tup, 0) AS live_rows,
    coalesce(s.n_dead_tup, 0) AS dead_rows,
    coalesce(toast.n_dead_tup, 0) AS dead_toast_rows,
    coalesce(s.n_ins_since_vacuum, 0) AS inserted_rows,
    coalesce(s.n_mod_since_analyze, 0) AS modified_rows,
    coalesce(s.n_tup_ins + s.n_tup_upd + s.n_tup_del, 0) AS changes,
    own.vacuum_trigger,
    coalesce(beside.vacuum_trigger, 0) AS toast_trigger,
    own.insert_trigger,
    own.analyze_trigger,
    least(own.freeze_limit, beside.freeze_limit) AS freeze_limit,
    least(own.multixact_limit, beside.multixact_limit) AS multixact_limit,
    CASE
        WHEN c.relkind = 'p' THEN 0
        ELSE greatest(
            age(c.relfrozenxid) / own.freeze_limit,
            age(toast_class.relfrozenxid) / beside.freeze_limit
        )
    END AS freeze_share,
    CASE
        WHEN c.relkind = 'p' THEN 0
        ELSE greatest(
            mxid_age(c.relminmxid) / own.multixact_limit,
            mxid_age(toast_class.relminmxid) / beside.multixact_limit
        )
    END AS multixact_share,
    s.last_vacuum,
    s.last_analyze
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_roles AS owner ON owner.oid = c.relowner
LEFT JOIN pg_stat_all_tables AS s ON s.relid = c.oid
LEFT JOIN pg_class AS toast_class ON toast_class.oid = c.reltoastrelid
LEFT JOIN pg_stat_all_tables AS toast ON toast.relid = c.reltoastrelid
LEFT JOIN pg_inherits AS link ON link.inhrelid = c.oid AND c.relispartition
LEFT JOIN pg_class AS parent_class ON parent_class.oid = link.inhparent
CROSS JOIN LATERAL ({own}) AS own
LEFT JOIN LATERAL ({beside}) AS beside ON toast_class.oid IS NOT NULL
LEFT JOIN LATERAL regexp_match(
    -- Without the table's oid it is not opened: bounds are constants.
    pg_get_expr(c.relpartbound, 0),
    -- From the year 1000 to 8999: no other is a month that a date can be counted from.
    '^FOR VALUES FROM \(''([1-8]\d\d\d-[^''B]+)''\) TO \(''([1-8]\d\d\d-[^''B]+)''\)$'
) AS bounds (parts) ON c.relispartition
WHERE (%(oid)s::oid IS NULL OR c.oid = %(oid)s::oid)
  AND (
      c.relkind IN ('r', 'm')
      -- A parent without partitions has nothing to analyse.
      OR c.relkind = 'p' AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid)
  )
  AND c.relpersistence <> 't'
ORDER BY c.relkind = 'p' DESC, n.nspname, c.relname;

-- name: vacuum
-- SHARE UPDATE EXCLUSIVE on the table: reads and writes go on. Outside a transaction only.
VACUUM ({options}) {table};

-- name: analyze
-- SHARE UPDATE EXCLUSIVE on the table, and on the partitions of a parent: reads and writes go on.
-- Reads 30,000 rows of each at the default statistics target.
ANALYZE ({options}) {table};

-- name: vacuum_at_full_speed
-- For this session: a vacuum reads whatever is not frozen, freezes ids that are older than what is
-- given, and does not rest.
SELECT
    set_config('vacuum_freeze_table_age', '0', false),
    set_config('vacuum_multixact_freeze_table_age', '0', false),
    set_config('vacuum_cost_delay', '0', false),
    set_config('vacuum_freeze_min_age', least(
        current_setting('vacuum_freeze_min_age')::bigint, %(transactions)s::bigint
    )::text, false),
    set_config('vacuum_multixact_freeze_min_age', least(
        current_setting('vacuum_multixact_freeze_min_age')::bigint, %(multixacts)s::bigint
    )::text, false);
