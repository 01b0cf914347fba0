-- What the count before left.
DROP TABLE IF EXISTS pg_temp.storage_differences;
