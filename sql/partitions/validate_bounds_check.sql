-- SHARE UPDATE EXCLUSIVE on a table that stands alone while it is scanned: readers and writers go
-- on. ATTACH then finds its bounds proven and scans nothing under its stronger locks.
ALTER TABLE {table} VALIDATE CONSTRAINT repair_bounds;
