-- ACCESS EXCLUSIVE on a table that nobody knows yet.
ALTER TABLE {table} RENAME TO {name};
