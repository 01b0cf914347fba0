-- ACCESS EXCLUSIVE on one table for an instant.
ALTER TABLE {table} DROP CONSTRAINT IF EXISTS repair_bounds;
