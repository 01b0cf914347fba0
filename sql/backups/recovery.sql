-- name: recovery_state
-- Whether the server is still in recovery, and how far it has replayed.
SELECT
    pg_is_in_recovery() AS is_in_recovery,
    pg_last_wal_replay_lsn()::text AS replayed;

-- name: bootstrap_superuser
-- This database, and the role that initdb made: 10 is BOOTSTRAP_SUPERUSERID.
SELECT
    current_database(),
    rolname
FROM pg_roles
WHERE oid = 10;

-- name: relation_files
-- The main file of every relation of this database, by its path below the data folder. Catalog
-- reads only.
SELECT
    pg_relation_filepath(c.oid) AS path,
    c.oid::regclass::text AS relation
FROM pg_class AS c
WHERE pg_relation_filepath(c.oid) IS NOT NULL;
