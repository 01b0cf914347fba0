-- name: extensions
-- What the server offers of the named extensions, and what this database has. Catalog reads only.
-- The setting is read through its view: to a role that may not see it, it shows no row, no error.
SELECT
    wanted.name,
    available.default_version,
    installed.extversion AS installed_version,
    wanted.name NOT IN ('timescaledb', 'pg_stat_statements') OR EXISTS (
        SELECT
        FROM pg_settings AS s
        WHERE s.name = 'shared_preload_libraries'
          AND s.setting LIKE '%%' || wanted.name || '%%'
    ) AS is_loadable
FROM unnest(%(names)s::text[]) AS wanted (name)
LEFT JOIN pg_available_extensions AS available ON available.name = wanted.name
LEFT JOIN pg_extension AS installed ON installed.extname = wanted.name
ORDER BY wanted.name;

-- name: fingerprint
-- Every object that migrations make, as (object, aspect, value), in the schemas public and ops; and
-- what no migration makes: another owner, triggers that are off, rules, event triggers, whatever a
-- partition has that its parent has not given it, and roles of the application, or logins with their
-- rights, that may more than they were given. Left out is what differs between servers and days: the partitions and months themselves,
-- what extensions own, the stand-in for uuid_generate_v4(), the unlogged scratch tables of ops and the copies
-- of what a removal keeps, sqlx's ledger. Names in the values carry their schema if search_path is pg_catalog alone. Reads the
-- catalog, and opens the tables whose expressions it shows, those that a view or a policy asks
-- among them: of what belongs to a table in the list of locked ones it shows the word for unread.
WITH asking AS (
    -- The views, policies and functions (with a body that is parsed already) that ask one of them.
    SELECT CASE d.classid WHEN 'pg_rewrite'::regclass THEN r.ev_class ELSE d.objid END AS oid
    FROM pg_depend AS d
    LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    WHERE d.classid IN ('pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass)
      AND d.refclassid = 'pg_class'::regclass
      AND d.refobjid = ANY(%(locked)s::oid[])
),

relations AS (
    SELECT
        c.oid,
        c.relkind,
        c.relowner,
        c.relacl,
        c.reloptions,
        c.reltoastrelid,
        c.relpersistence,
        c.relrowsecurity,
        c.relforcerowsecurity,
        CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname AS name,
        CASE c.relkind
            WHEN 'v' THEN 'view '
            WHEN 'm' THEN 'materialized view '
            WHEN 'S' THEN 'sequence '
            WHEN 'f' THEN 'foreign table '
            ELSE 'table '
        END AS kind
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('public', 'ops')
      AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
      AND NOT c.relispartition
      AND c.relname <> '_sqlx_migrations'
      AND c.relname !~ '^(content_segments|archived_content_segments|audit_log)_\d{4}_\d{2}$'
      AND NOT (n.nspname = 'ops' AND (c.relpersistence = 'u' OR c.relname ~ '^kept_\d{4}_\d{2}$'))
      AND NOT EXISTS (
          SELECT
          FROM pg_depend AS d
          WHERE d.classid = 'pg_class'::regclass
            AND d.objid = c.oid
            AND (d.deptype = 'e' OR c.relkind = 'S' AND d.deptype IN ('a', 'i'))
      )
),

tables AS (
    SELECT * FROM relations WHERE relkind IN ('r', 'p')
),

-- Partitions, and months that have left their parent.
partitions AS (
    SELECT
        c.oid,
        c.relowner,
        c.relacl,
        c.reloptions,
        c.reltoastrelid,
        c.relpersistence,
        c.relrowsecurity,
        parent.oid AS parent_oid,
        'partition ' || CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname
            AS object
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_inherits AS link ON link.inhrelid = c.oid AND c.relispartition
    LEFT JOIN pg_class AS parent ON parent.oid = link.inhparent
    WHERE c.relkind IN ('r', 'p', 'f')
      AND (
          c.relispartition
          -- Wherever somebody has put it: whoever reads its parent reads it.
          AND 'public'::regnamespace IN (c.relnamespace, parent.relnamespace)
          OR c.relnamespace = 'public'::regnamespace
          AND c.relname ~ '^(content_segments|archived_content_segments|audit_log)_\d{4}_\d{2}$'
      )
),

-- Whoever owns the schema ops has run the migrations, and should own what they made.
made_by AS (
    SELECT n.nspowner AS owner FROM pg_namespace AS n WHERE n.nspname = 'ops'
),

application AS (
    SELECT oid, rolname FROM pg_roles WHERE rolname IN ('ft_app', 'ft_readonly')
),

-- Who logs in with the rights of the application. An administrator may hold its role, and whoever is
-- one of the operations has it by them.
logins AS (
    SELECT role.oid, role.rolname, role.rolbypassrls
    FROM pg_roles AS role
    WHERE role.rolcanlogin
      AND NOT role.rolsuper
      AND NOT role.rolcreaterole
      AND role.oid NOT IN (SELECT oid FROM application)
      AND NOT pg_has_role(role.oid, (SELECT owner FROM made_by), 'MEMBER')
      AND EXISTS (SELECT FROM application AS app WHERE pg_has_role(role.oid, app.oid, 'MEMBER'))
),

functions AS (
    SELECT
        p.oid,
        p.proowner,
        p.proacl,
        'function ' || CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END
            || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS object
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('public', 'ops')
      AND p.prokind IN ('f', 'p')
      AND (p.proname, p.pronargs) <> ('uuid_generate_v4', 0)
      AND NOT EXISTS (
          SELECT
          FROM pg_depend AS d
          WHERE d.classid = 'pg_proc'::regclass
            AND d.objid = p.oid
            AND d.deptype = 'e'
      )
),

granted AS (
    SELECT r.kind || r.name AS object, r.relowner AS owner, a.grantee, a.privilege_type, a.is_grantable
    FROM relations AS r
    CROSS JOIN LATERAL aclexplode(r.relacl) AS a
    UNION ALL
    SELECT 'column ' || r.name || '.' || col.attname, r.relowner, a.grantee, a.privilege_type, a.is_grantable
    FROM relations AS r
    JOIN pg_attribute AS col ON col.attrelid = r.oid
    CROSS JOIN LATERAL aclexplode(col.attacl) AS a
    UNION ALL
    SELECT f.object, f.proowner, a.grantee, a.privilege_type, a.is_grantable
    FROM functions AS f
    CROSS JOIN LATERAL aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) AS a
    UNION ALL
    SELECT 'schema ' || n.nspname, n.nspowner, a.grantee, a.privilege_type, a.is_grantable
    FROM pg_namespace AS n
    CROSS JOIN LATERAL aclexplode(n.nspacl) AS a
    WHERE n.nspname IN ('public', 'ops')
    UNION ALL
    -- A grant on a partition passes the policies of its parent by. There should be none.
    SELECT p.object, p.relowner, a.grantee, a.privilege_type, a.is_grantable
    FROM partitions AS p
    CROSS JOIN LATERAL aclexplode(p.relacl) AS a
    UNION ALL
    SELECT p.object, p.relowner, a.grantee, a.privilege_type, a.is_grantable
    FROM partitions AS p
    JOIN pg_attribute AS col ON col.attrelid = p.oid
    CROSS JOIN LATERAL aclexplode(col.attacl) AS a
    UNION ALL
    -- Nor anything that would grant the next one.
    SELECT
        'default privileges of ' || pg_get_userbyid(d.defaclrole), d.defaclrole, a.grantee,
        a.privilege_type, a.is_grantable
    FROM pg_default_acl AS d
    CROSS JOIN LATERAL aclexplode(d.defaclacl) AS a
    WHERE d.defaclobjtype = 'r'
),

grants AS (
    SELECT
        g.object, g.owner, g.grantee,
        g.privilege_type || CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
            AS privilege_type
    FROM granted AS g
)

SELECT r.kind || r.name AS object, aspect.name AS aspect, aspect.value
FROM relations AS r
CROSS JOIN LATERAL (VALUES
    ('kind', CASE r.relkind WHEN 'p' THEN 'partitioned' ELSE 'plain' END),
    ('persistence', CASE r.relpersistence WHEN 'p' THEN 'logged' ELSE 'unlogged' END),
    (
        'row level security',
        CASE
            WHEN r.relforcerowsecurity THEN 'forced'
            WHEN r.relrowsecurity THEN 'enabled'
            ELSE 'disabled'
        END
    ),
    (
        'partition key',
        CASE
            WHEN r.relkind <> 'p' THEN NULL
            WHEN r.oid = ANY(%(locked)s::oid[]) THEN %(unread)s
            ELSE pg_get_partkeydef(r.oid)
        END
    ),
    ('options', array_to_string(r.reloptions, ', ')),
    (
        'options of long values',
        (SELECT array_to_string(c.reloptions, ', ') FROM pg_class AS c WHERE c.oid = r.reltoastrelid)
    ),
    (
        -- Whoever reads the table reads their rows, too.
        'inherited by',
        (
            SELECT string_agg(link.inhrelid::regclass::text, ', ')
            FROM pg_inherits AS link
            WHERE link.inhparent = r.oid AND r.relkind = 'r' AND r.name !~ '^ops\.'
        )
    ),
    (
        'definition',
        CASE
            WHEN r.relkind NOT IN ('v', 'm') THEN NULL
            WHEN r.oid IN (SELECT asking.oid FROM asking) THEN %(unread)s
            ELSE pg_get_viewdef(r.oid)
        END
    )
) AS aspect (name, value)
WHERE aspect.value IS NOT NULL
UNION ALL
SELECT 'column ' || t.name || '.' || a.attname, aspect.name, aspect.value
FROM tables AS t
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type AS ty ON ty.oid = a.atttypid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
CROSS JOIN LATERAL (VALUES
    ('belongs to', t.kind || t.name),
    ('type', format_type(a.atttypid, a.atttypmod)),
    ('null', CASE WHEN a.attnotnull THEN 'refused' ELSE 'allowed' END),
    (
        CASE WHEN a.attgenerated = '' THEN 'default' ELSE 'generated' END,
        CASE
            WHEN d.adbin IS NULL THEN NULL
            WHEN d.adrelid = ANY(%(locked)s::oid[]) THEN %(unread)s
            ELSE pg_get_expr(d.adbin, d.adrelid)
        END
    ),
    ('identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END),
    (
        'collation',
        CASE
            WHEN a.attcollation <> ty.typcollation
                THEN (SELECT c.collname FROM pg_collation AS c WHERE c.oid = a.attcollation)
        END
    )
) AS aspect (name, value)
WHERE aspect.value IS NOT NULL
UNION ALL
-- NOT NULL is a column's aspect here; from version 18 on it is a constraint, too.
SELECT 'constraint ' || con.conname || ' of ' || t.name, aspect.name, aspect.value
FROM tables AS t
JOIN pg_constraint AS con ON con.conrelid = t.oid AND con.contype NOT IN ('n', 't')
CROSS JOIN LATERAL (VALUES
    ('belongs to', t.kind || t.name),
    (
        'definition',
        CASE
            WHEN con.conrelid = ANY(%(locked)s::oid[]) THEN %(unread)s
            ELSE pg_get_constraintdef(con.oid)
        END
    )
) AS aspect (name, value)
UNION ALL
SELECT 'index ' || c.relname || ' of ' || t.name, aspect.name, aspect.value
FROM tables AS t
JOIN pg_index AS i ON i.indrelid = t.oid
JOIN pg_class AS c ON c.oid = i.indexrelid
CROSS JOIN LATERAL (VALUES
    ('belongs to', t.kind || t.name),
    (
        'definition',
        CASE
            WHEN t.oid = ANY(%(locked)s::oid[]) OR c.oid = ANY(%(locked)s::oid[]) THEN %(unread)s
            ELSE pg_get_indexdef(c.oid)
        END
    ),
    ('state', CASE WHEN i.indisvalid THEN 'valid' ELSE 'invalid' END)
) AS aspect (name, value)
WHERE NOT EXISTS (SELECT FROM pg_constraint AS con WHERE con.conindid = c.oid)
UNION ALL
SELECT 'policy ' || p.polname || ' of ' || t.name, aspect.name, aspect.value
FROM tables AS t
JOIN pg_policy AS p ON p.polrelid = t.oid
CROSS JOIN LATERAL (VALUES
    ('belongs to', t.kind || t.name),
    (
        'command',
        CASE p.polcmd
            WHEN 'r' THEN 'select'
            WHEN 'a' THEN 'insert'
            WHEN 'w' THEN 'update'
            WHEN 'd' THEN 'delete'
            ELSE 'all'
        END
    ),
    ('kind', CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END),
    (
        'roles',
        (
            SELECT string_agg(CASE role WHEN 0 THEN 'public' ELSE pg_get_userbyid(role) END, ', ')
            FROM unnest(p.polroles) AS role
        )
    ),
    (
        'using',
        CASE
            WHEN p.polqual IS NULL THEN NULL
            WHEN p.oid IN (SELECT asking.oid FROM asking) THEN %(unread)s
            ELSE pg_get_expr(p.polqual, p.polrelid)
        END
    ),
    (
        'check',
        CASE
            WHEN p.polwithcheck IS NULL THEN NULL
            WHEN p.oid IN (SELECT asking.oid FROM asking) THEN %(unread)s
            ELSE pg_get_expr(p.polwithcheck, p.polrelid)
        END
    )
) AS aspect (name, value)
WHERE aspect.value IS NOT NULL
UNION ALL
SELECT 'trigger ' || tg.tgname || ' of ' || t.name, aspect.name, aspect.value
FROM tables AS t
JOIN pg_trigger AS tg ON tg.tgrelid = t.oid AND NOT tg.tgisinternal
CROSS JOIN LATERAL (VALUES
    ('belongs to', t.kind || t.name),
    (
        'definition',
        CASE
            WHEN t.oid = ANY(%(locked)s::oid[]) THEN %(unread)s
            ELSE pg_get_triggerdef(tg.oid)
        END
    ),
    (
        'state',
        CASE tg.tgenabled
            WHEN 'O' THEN 'enabled'
            WHEN 'D' THEN 'disabled'
            WHEN 'R' THEN 'on replicas only'
            ELSE 'always'
        END
    )
) AS aspect (name, value)
WHERE NOT EXISTS (
    SELECT
    FROM pg_depend AS d
    WHERE d.classid = 'pg_proc'::regclass
      AND d.objid = tg.tgfoid
      AND d.deptype = 'e'
)
UNION ALL
SELECT
    f.object,
    'definition',
    CASE
        WHEN f.oid IN (SELECT asking.oid FROM asking) THEN %(unread)s
        ELSE pg_get_functiondef(f.oid)
    END
FROM functions AS f
UNION ALL
-- From here on: what no migration makes.
SELECT owned.object, 'owner', pg_get_userbyid(owned.owner)
FROM (
    SELECT r.kind || r.name AS object, r.relowner AS owner FROM relations AS r
    UNION ALL
    SELECT p.object, p.relowner FROM partitions AS p
    UNION ALL
    SELECT f.object, f.proowner FROM functions AS f
) AS owned
JOIN made_by ON owned.owner <> made_by.owner
UNION ALL
SELECT held.object, 'rule ' || rule.rulename, 'on ' || CASE rule.ev_type
        WHEN '1' THEN 'select' WHEN '2' THEN 'update' WHEN '3' THEN 'insert' ELSE 'delete'
    END || CASE WHEN rule.is_instead THEN ' instead' ELSE '' END
FROM (
    SELECT r.oid, r.kind || r.name AS object FROM relations AS r
    UNION ALL
    SELECT p.oid, p.object FROM partitions AS p
) AS held
JOIN pg_rewrite AS rule ON rule.ev_class = held.oid AND rule.rulename <> '_RETURN'
UNION ALL
-- The triggers that enforce a foreign key, and those that a partition has from its parent.
SELECT held.object, 'trigger ' || off.name, off.state
FROM (
    SELECT r.oid, r.kind || r.name AS object, false AS is_partition FROM relations AS r
    UNION ALL
    SELECT p.oid, p.object, true FROM partitions AS p
) AS held
CROSS JOIN LATERAL (
    SELECT
        coalesce(con.conname, tg.tgname) AS name,
        string_agg(DISTINCT CASE tg.tgenabled
            WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'on replicas only' ELSE 'always'
        END, ', ') AS state
    FROM pg_trigger AS tg
    LEFT JOIN pg_trigger AS parent ON parent.oid = tg.tgparentid
    LEFT JOIN pg_constraint AS con ON con.oid = tg.tgconstraint
    WHERE tg.tgrelid = held.oid
      AND (held.is_partition OR tg.tgisinternal)
      AND tg.tgenabled <> coalesce(parent.tgenabled, 'O')
      -- One of a partition's own that no setting silences.
      AND (tg.tgisinternal OR tg.tgparentid <> 0 OR tg.tgenabled <> 'A')
    GROUP BY 1
) AS off
UNION ALL
SELECT p.object, aspect.name, aspect.value
FROM partitions AS p
CROSS JOIN LATERAL (
    SELECT 'trigger ' || tg.tgname, 'its own'
    FROM pg_trigger AS tg
    WHERE tg.tgrelid = p.oid AND NOT tg.tgisinternal AND tg.tgparentid = 0
      -- Every month of content has the first, which a parent can't give: it refuses TRUNCATE. A month
      -- that stood alone has the second as well.
      AND (tg.tgname, tg.tgfoid) NOT IN (
          ('keep_keys', to_regprocedure('public.refuse_truncate()')),
          ('refuse_held_alone', to_regprocedure('ops.refuse_held_segment()'))
      )
      -- These are a month's while it stands alone: its deletions take keys along, and its rows stay as counted.
      AND NOT (
          p.parent_oid IS NULL
          AND tg.tgname IN ('forget_detached', 'keep_counted')
          AND EXISTS (
              SELECT
              FROM pg_proc AS called
              WHERE called.oid = tg.tgfoid AND called.pronamespace = to_regnamespace('ops')
          )
      )
    UNION ALL
    SELECT 'TRUNCATE', 'allowed'
    WHERE p.parent_oid IN (
        to_regclass('public.content_segments'), to_regclass('public.archived_content_segments')
    )
      AND NOT EXISTS (
          SELECT
          FROM pg_trigger AS tg
          WHERE tg.tgrelid = p.oid
            AND tg.tgname = 'keep_keys'
            AND tg.tgfoid = to_regprocedure('public.refuse_truncate()')
      )
    UNION ALL
    SELECT 'policy ' || policy.polname, 'its own'
    FROM pg_policy AS policy
    WHERE policy.polrelid = p.oid
    UNION ALL
    SELECT 'persistence', 'unlogged' WHERE p.relpersistence <> 'p'
    UNION ALL
    SELECT 'row level security', 'enabled' WHERE p.relrowsecurity AND p.parent_oid IS NOT NULL
    UNION ALL
    -- As the server reads a boolean: any beginning of these words that is no other's.
    SELECT 'options', option
    FROM unnest(
        p.reloptions || ARRAY(
            SELECT 'toast.' || beside
            FROM pg_class AS c, unnest(c.reloptions) AS beside
            WHERE c.oid = p.reltoastrelid
        )
    ) AS option
    WHERE option ~* '^(toast\.)?autovacuum_enabled=(f|fa|fal|fals|false|n|no|of|off|0)$'
    UNION ALL
    -- But for what says its bounds once more: a month that stood alone had that to be attached by.
    SELECT 'constraint ' || con.conname, CASE con.contype
        WHEN 'c' THEN 'a check of its own'
        WHEN 'f' THEN 'a foreign key of its own'
        ELSE 'a key of its own'
    END
    FROM pg_constraint AS con
    WHERE con.conrelid = p.oid
      AND p.parent_oid IS NOT NULL
      AND con.contype NOT IN ('n', 't')
      AND con.conparentid = 0
      AND con.coninhcount = 0
      AND NOT (
          con.contype = 'c'
          AND con.conkey IS NOT DISTINCT FROM (
              SELECT array_agg(a.attnum)
              FROM pg_attribute AS a
              WHERE a.attrelid = p.oid AND a.attname = 'created_at'
          )
      )
    UNION ALL
    SELECT 'index ' || c.relname, 'unique, of its own'
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indrelid = p.oid
      AND p.parent_oid IS NOT NULL
      AND i.indisunique
      AND i.indisvalid
      AND NOT EXISTS (SELECT FROM pg_inherits AS link WHERE link.inhrelid = i.indexrelid)
      AND NOT EXISTS (SELECT FROM pg_constraint AS con WHERE con.conindid = i.indexrelid)
    UNION ALL
    SELECT 'column ' || a.attname, 'NOT NULL of its own'
    FROM pg_attribute AS a
    JOIN pg_attribute AS given
        ON given.attrelid = p.parent_oid AND given.attname = a.attname AND NOT given.attnotnull
    WHERE a.attrelid = p.oid AND a.attnum > 0 AND a.attnotnull
) AS aspect (name, value)
UNION ALL
-- Roles that are not as sql/roles/bootstrap.sql made them, or that may be the application and more.
SELECT 'role ' || role.rolname, 'attributes', trait.traits
FROM pg_roles AS role
CROSS JOIN LATERAL (
    SELECT string_agg(given.name, ', ') AS traits
    FROM (VALUES
        ('SUPERUSER', role.rolsuper),
        ('BYPASSRLS', role.rolbypassrls),
        ('CREATEROLE', role.rolcreaterole),
        ('CREATEDB', role.rolcreatedb),
        ('REPLICATION', role.rolreplication)
    ) AS given (name, is_so)
    WHERE given.is_so
) AS trait
WHERE trait.traits IS NOT NULL
  AND (
      role.oid IN (SELECT oid FROM application)
      OR role.oid IN (SELECT oid FROM logins WHERE rolbypassrls)
  )
UNION ALL
-- A superuser's memberships say nothing more of him.
SELECT 'role ' || app.rolname, 'member of ' || role.rolname, 'yes'
FROM application AS app
JOIN pg_roles AS own ON own.oid = app.oid AND NOT own.rolsuper
JOIN pg_roles AS role
    ON role.oid <> app.oid AND pg_has_role(app.oid, role.oid, 'MEMBER') AND (
        role.rolname LIKE 'pg\_%%'
        OR role.rolsuper
        OR role.rolbypassrls
        OR role.oid = (SELECT owner FROM made_by)
        -- A reader that may write, or a writer that reads as somebody else.
        OR role.oid IN (SELECT oid FROM application)
    )
UNION ALL
-- Partitions have no policies of their own: whoever may read everything reads every family's.
SELECT 'role ' || login.rolname, 'member of ' || role.rolname, 'yes'
FROM logins AS login
JOIN pg_roles AS role ON role.oid <> login.oid AND pg_has_role(login.oid, role.oid, 'MEMBER') AND (
    role.rolsuper
    OR role.rolbypassrls
    OR role.rolname IN (
        'pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files',
        'pg_execute_server_program'
    )
)
UNION ALL
SELECT 'role ' || app.rolname, 'may make schemas in the database', 'yes'
FROM application AS app
JOIN pg_roles AS own ON own.oid = app.oid AND NOT own.rolsuper
WHERE has_database_privilege(app.oid, current_database(), 'CREATE')
UNION ALL
SELECT 'role ' || coalesce(app.rolname, 'all'), 'setting ' || split_part(setting, '=', 1), setting
FROM pg_db_role_setting AS given
CROSS JOIN unnest(given.setconfig) AS setting
LEFT JOIN (
    SELECT oid, rolname FROM application
    UNION ALL
    SELECT oid, rolname FROM logins
) AS app ON app.oid = given.setrole
WHERE (app.oid IS NOT NULL OR given.setrole = 0)
  AND given.setdatabase IN (
      0, (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  )
  -- The last makes somebody of every session that does not say who it is.
  AND split_part(setting, '=', 1) IN (
      'session_replication_role', 'row_security', 'app.current_user_id'
  )
UNION ALL
SELECT
    'event trigger ' || e.evtname,
    'definition',
    'on ' || e.evtevent || ' ' || e.evtfoid::regprocedure::text || CASE e.evtenabled
        WHEN 'D' THEN ', disabled' WHEN 'R' THEN ', on replicas only' ELSE ''
    END
FROM pg_event_trigger AS e
WHERE NOT EXISTS (
    SELECT FROM pg_depend AS d
    WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = e.oid AND d.deptype = 'e'
)
UNION ALL
SELECT
    g.object,
    'grants to ' || CASE g.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(g.grantee) END,
    string_agg(g.privilege_type, ', ' ORDER BY g.privilege_type)
FROM grants AS g
WHERE g.grantee <> g.owner
GROUP BY g.object, g.grantee
ORDER BY object, aspect;

-- name: create_hypertable
-- ACCESS EXCLUSIVE on ops.metric_samples while its rows move into chunks of 30 days; nobody but
-- the operations uses it. No effect where it is a hypertable already.
SELECT create_hypertable(
    'ops.metric_samples',
    'sampled_at',
    chunk_time_interval => interval '30 days',
    create_default_indexes => false,
    if_not_exists => true,
    migrate_data => true
);

-- name: fitness
-- Whether the schema can live in this database, in words that every version knows. Catalog reads
-- only.
SELECT
    current_setting('server_version') AS version,
    current_setting('server_version_num')::integer AS version_number,
    pg_encoding_to_char(d.encoding)::text AS encoding,
    pg_is_in_recovery() AS is_replica,
    -- Before its first start Dagster's is empty, and belongs to the role that sql/roles makes for it.
    to_regclass('public._sqlx_migrations') IS NULL
        AND (
            to_regclass('public.event_logs') IS NOT NULL AND to_regclass('public.run_tags') IS NOT NULL
            OR pg_get_userbyid(d.datdba) = 'ft_dagster'
        ) AS is_dagsters,
    to_regclass('public._sqlx_migrations') IS NULL AS is_new,
    current_user::text AS role,
    pg_get_userbyid(d.datdba)::text AS owner,
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser
FROM pg_database AS d
WHERE d.datname = current_database();

-- name: server_facts
-- What a schema needs to know of its server and database. Catalog reads only.
SELECT
    current_setting('server_version') AS version,
    current_setting('server_version_num')::integer AS version_number,
    pg_encoding_to_char(d.encoding) AS encoding,
    d.datcollate AS collation,
    d.datctype AS character_type,
    d.datcollversion AS collation_version,
    pg_database_collation_actual_version(d.oid) AS library_version,
    current_setting('autovacuum') AS autovacuum,
    current_setting('track_counts') AS track_counts
FROM pg_database AS d
WHERE d.datname = current_database();
