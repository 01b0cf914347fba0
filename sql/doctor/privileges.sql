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
            ('pg_backup_start', 'barman-cloud can''t take a full backup'),
            ('pg_backup_stop', 'barman-cloud can''t take a full backup'),
            ('pg_create_restore_point', 'a backup has no point to be restored to'),
            ('pg_switch_wal', 'an incremental backup waits for the segment to fill'),
            ('bt_index_check', 'indexes are compared with their tables the slow way'),
            ('pgstattuple', 'tables'' dead space is estimated')
    ) AS wanted (name, lost)
    JOIN pg_proc AS p ON p.proname = wanted.name
) AS f
ORDER BY 1;
