-- ACCESS EXCLUSIVE on a table that stands alone and that nobody reads.
ALTER TABLE {table} RENAME TO {archived};
