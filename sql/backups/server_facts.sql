-- What a copy of this database needs to be read.
SELECT
    current_database() AS database,
    current_setting('server_version_num')::integer AS server_version,
    (SELECT sum(pg_database_size(oid))::bigint FROM pg_database) AS cluster_bytes,
    current_setting('shared_preload_libraries') AS preloaded,
    (SELECT jsonb_object_agg(extname, extversion) FROM pg_extension) AS extensions;
