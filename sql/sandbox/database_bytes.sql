-- The database's size on disk.
SELECT pg_database_size(current_database());
