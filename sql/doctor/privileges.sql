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
