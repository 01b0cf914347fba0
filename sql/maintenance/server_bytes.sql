-- What all databases and the WAL occupy. Needs pg_monitor; reads the sizes of all files.
SELECT
    (SELECT sum(pg_database_size(oid)) FROM pg_database)
    + (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir());
