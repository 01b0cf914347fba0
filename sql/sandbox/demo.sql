-- name: database_bytes
-- The database's size on disk.
SELECT pg_database_size(current_database());

-- name: storage_used
-- What the families' totals add up to.
SELECT coalesce(sum(storage_used_bytes), 0)
FROM families;
