-- Before the next count. A temporary table: nobody else has it.
TRUNCATE pg_temp.storage_differences;
