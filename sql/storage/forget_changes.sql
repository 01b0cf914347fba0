-- The marks that this snapshot sees, and whose months it has counted. A mark that commits later
-- stays for the next run. Removed row by row: TRUNCATE would take those too.
DELETE FROM ops.storage_changes;
