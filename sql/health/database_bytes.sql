-- The size of this database on disk, all schemas and the catalog included.
SELECT pg_database_size(current_database());
