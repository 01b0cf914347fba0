-- name: data_directory
-- Where the server keeps its data. Needs pg_monitor.
SELECT current_setting('data_directory');

-- name: ends_of_connection
-- Address and port of the server's end of this connection, and of ours, as the server sees them; NULL over
-- a socket. Reads nothing.
SELECT
    host(inet_server_addr()),
    inet_server_port(),
    host(inet_client_addr()),
    inet_client_port();

-- name: tablespace_locations
-- Where the tablespaces lie that are outside of the data directory. Reads the catalog.
SELECT t.spcname::text AS name, pg_tablespace_location(t.oid) AS location
FROM pg_tablespace AS t
WHERE pg_tablespace_location(t.oid) <> ''
ORDER BY name;

-- name: spilled_bytes
-- What replication slots keep on the disk besides the log: above all the changes of transactions that are
-- too large for memory, which a slow reader of logical changes leaves there. Needs pg_monitor.
SELECT coalesce(sum(f.size), 0)::bigint AS bytes
FROM pg_replication_slots AS s
CROSS JOIN LATERAL pg_ls_replslotdir(s.slot_name) AS f;

-- name: database_sizes
-- Bytes of every database, in all of its tablespaces; none of one that is dropped meanwhile: of that,
-- the question about its privileges says NULL, where pg_database_size fails. Needs pg_monitor; looks
-- at every file, and waits for nobody.
SELECT d.datname AS name, coalesce(pg_database_size(d.oid), 0)::bigint AS bytes
FROM pg_database AS d
WHERE has_database_privilege(d.oid, 'CONNECT') IS NOT NULL
ORDER BY bytes DESC, name;

-- name: tablespace_sizes
-- Bytes of every tablespace, and of the temporary files in it, which spilled sorts write. The shared
-- catalogs are pg_global; temporary files of other sessions go when their statements end. Needs
-- pg_monitor; looks at every file. One that is dropped meanwhile is left out likewise.
SELECT
    t.spcname AS name,
    coalesce(pg_tablespace_size(t.oid), 0)::bigint AS bytes,
    CASE
        WHEN t.spcname = 'pg_global' THEN 0
        ELSE (SELECT coalesce(sum(f.size), 0) FROM pg_ls_tmpdir(t.oid) AS f)
    END::bigint AS temporary_bytes
FROM pg_tablespace AS t
WHERE has_tablespace_privilege(t.oid, 'CREATE') IS NOT NULL
ORDER BY bytes DESC, name;

-- name: log_size
-- Bytes of the write-ahead log on disk, and how many of its files wait to be archived. Needs
-- pg_monitor.
SELECT
    (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir())::bigint AS bytes,
    (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready')::integer AS unarchived;

-- name: log_held
-- Replication slots, with the log that each holds back on the server's disk, most first. On a standby
-- the position is that of what it has received. Statistics views only.
SELECT
    s.slot_name AS name,
    s.active AS is_active,
    greatest(pg_wal_lsn_diff(
        CASE
            WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
            ELSE pg_current_wal_lsn()
        END,
        s.restart_lsn
    ), 0)::bigint AS bytes
FROM pg_replication_slots AS s
WHERE s.restart_lsn IS NOT NULL
ORDER BY bytes DESC, name;
