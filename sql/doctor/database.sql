-- name: archiving
-- Whether the server archives its log, and how the last try ended. Reads statistics only; whoever
-- may not read a setting gets no row of it.
SELECT
    coalesce((SELECT setting FROM pg_settings WHERE name = 'archive_mode'), 'unreadable') AS mode,
    a.last_archived_time,
    a.last_failed_time,
    coalesce(a.last_failed_time > a.last_archived_time, a.last_failed_time IS NOT NULL) AS is_failing
FROM pg_stat_archiver AS a;

-- name: session
-- Who the operations are, and whether policies or limits could stand in their way. Reads the
-- catalog only.
SELECT
    current_user::text AS role,
    r.rolsuper AS is_superuser,
    r.rolbypassrls AS bypasses_policies,
    pg_has_role(d.datdba, 'USAGE') AS owns_database,
    pg_encoding_to_char(d.encoding) AS encoding,
    current_setting('server_version') AS version,
    current_setting('server_version_num')::integer / 10000 AS major_version,
    pg_is_in_recovery() AS is_replica
FROM pg_database AS d
JOIN pg_roles AS r ON r.rolname = current_user
WHERE d.datname = current_database();

-- name: encryption
-- What protects this session on its way. Reads shared memory.
SELECT
    coalesce(t.ssl, false) OR coalesce(g.encrypted, false) AS is_encrypted,
    CASE WHEN t.ssl THEN t.version || ' ' || t.cipher ELSE 'GSSAPI' END AS protocol
FROM pg_stat_activity AS a
LEFT JOIN pg_stat_ssl AS t ON t.pid = a.pid
LEFT JOIN pg_stat_gssapi AS g ON g.pid = a.pid
WHERE a.pid = pg_backend_pid();

-- name: foreign_tables
-- Tables of ours that belong to somebody else: DETACH, REINDEX and VACUUM need the owner. Reads
-- the catalog only; extensions' own tables are left out.
SELECT c.oid::regclass::text AS name
FROM pg_class AS c
WHERE c.relnamespace IN (to_regnamespace('public'), to_regnamespace('ops'))
  AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
  AND NOT pg_has_role(c.relowner, 'USAGE')
  AND NOT EXISTS (
      SELECT
      FROM pg_depend AS d
      WHERE d.classid = 'pg_class'::regclass
        AND d.objid = c.oid
        AND d.deptype = 'e'
  )
ORDER BY 1;

-- name: tenant_roles
-- The roles that row level security must hold, with what would let them past it. One row a role
-- that bootstrap.sql makes or that is the application's, whether it exists or not. Reads the catalog
-- only.
SELECT
    wanted.name,
    r.oid IS NOT NULL AS is_there,
    coalesce(r.rolsuper OR r.rolbypassrls, false) AS passes_policies,
    -- Partitions have no policies of their own: whoever may read everything reads every family's.
    ARRAY(
        SELECT other.rolname::text
        FROM pg_roles AS other
        WHERE NOT r.rolsuper
          AND other.oid <> r.oid
          AND pg_has_role(r.oid, other.oid, 'MEMBER')
          AND (
              other.rolsuper
              OR other.rolbypassrls
              OR other.rolname IN (
                  'pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files',
                  'pg_write_server_files', 'pg_execute_server_program'
              )
          )
        ORDER BY other.rolname
    ) AS passes_by,
    coalesce(pg_has_role(r.oid, current_user, 'MEMBER'), false) AS is_operations
FROM (SELECT DISTINCT unnest(ARRAY['ft_app', 'ft_readonly', %(application)s::text])) AS wanted (name)
LEFT JOIN pg_roles AS r ON r.rolname = wanted.name
ORDER BY wanted.name;

-- name: large_objects
-- Whose large objects there are, and how many. Reads the catalog only.
SELECT pg_get_userbyid(l.lomowner)::text AS owner, count(*) AS objects
FROM pg_largeobject_metadata AS l
GROUP BY 1
ORDER BY 1;

-- name: partition_grants
-- Partitions, and months that stand alone, that a role other than their owner may read or write
-- directly, or a column of theirs: that passes the parent's policies by. Reads the catalog only.
WITH months AS (
    SELECT c.oid, c.relowner, c.relacl
    FROM pg_class AS c
    LEFT JOIN pg_inherits AS link ON link.inhrelid = c.oid AND c.relispartition
    LEFT JOIN pg_class AS parent ON parent.oid = link.inhparent
    WHERE c.relkind IN ('r', 'p', 'f')
      AND (
          c.relispartition
          AND to_regnamespace('public') IN (c.relnamespace, parent.relnamespace)
          OR c.relnamespace = to_regnamespace('public')
          AND c.relname ~ '^(content_segments|archived_content_segments|audit_log)_\d{4}_\d{2}$'
      )
), granted AS (
    SELECT m.oid, m.relowner, a.grantee
    FROM months AS m
    CROSS JOIN LATERAL aclexplode(m.relacl) AS a
    UNION
    SELECT m.oid, m.relowner, a.grantee
    FROM months AS m
    JOIN pg_attribute AS col ON col.attrelid = m.oid
    CROSS JOIN LATERAL aclexplode(col.attacl) AS a
)

SELECT
    g.oid::regclass::text AS name,
    CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END AS role
FROM granted AS g
WHERE g.grantee <> g.relowner
ORDER BY 1, 2;

-- name: privileges
-- What the operations may do besides owning their tables: one row a privilege that bootstrap.sql
-- grants, with what is lost without it. Reads the catalog only. A function that the server does
-- not have is left out.
SELECT 'pg_monitor' AS name, pg_has_role('pg_monitor', 'USAGE') AS is_granted,
    'other sessions'' queries and statistics can''t be read' AS lost
UNION ALL
SELECT f.name, has_function_privilege(f.oid, 'EXECUTE'), f.lost
FROM (
    SELECT p.oid, p.oid::regprocedure::text AS name, wanted.lost
    FROM (
        VALUES
            ('pg_backup_start', 2, 'barman-cloud can''t take a full backup'),
            ('pg_backup_stop', 1, 'barman-cloud can''t take a full backup'),
            ('pg_create_restore_point', 1, 'a backup has no point to be restored to'),
            ('pg_switch_wal', 0, 'an incremental backup waits for the segment to fill'),
            ('bt_index_check', 1, 'rebuilt indexes are not checked'),
            ('bt_index_check', 2, 'a managed server''s drills don''t check indexes'),
            ('pgstatindex', 1, 'the bloat of indexes is judged by estimates alone')
    ) AS wanted (name, arguments, lost)
    JOIN pg_proc AS p ON p.proname = wanted.name AND p.pronargs = wanted.arguments
) AS f
ORDER BY 1;

-- name: extensions
-- The extensions that matter here, installed or not. Reads the catalog only; default_version is
-- null where the server does not offer one.
SELECT wanted.name, a.default_version, a.installed_version
FROM unnest(%(names)s::text[]) AS wanted (name)
LEFT JOIN pg_available_extensions AS a ON a.name = wanted.name
ORDER BY wanted.name;

-- name: installed_extensions
-- The extensions of this database. Reads the catalog only.
SELECT extname FROM pg_extension;
