-- Before the other kind of sums.
TRUNCATE pg_temp.storage_corrections;
