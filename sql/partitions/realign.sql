-- name: lock_parent
-- ACCESS EXCLUSIVE on the parent: every reader and writer waits until the transaction ends.
LOCK TABLE {parent} IN ACCESS EXCLUSIVE MODE;

-- name: rename
-- ACCESS EXCLUSIVE on a table that nobody knows yet.
ALTER TABLE {table} RENAME TO {name};
