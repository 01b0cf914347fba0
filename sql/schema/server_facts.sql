-- What a schema needs to know of its server and database. Catalog reads only.
SELECT
    current_setting('server_version') AS version,
    current_setting('server_version_num')::integer AS version_number,
    pg_encoding_to_char(d.encoding) AS encoding,
    d.datcollate AS collation,
    d.datctype AS character_type,
    d.datcollversion AS collation_version,
    pg_database_collation_actual_version(d.oid) AS library_version
FROM pg_database AS d
WHERE d.datname = current_database();
