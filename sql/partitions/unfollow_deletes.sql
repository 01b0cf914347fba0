-- ACCESS EXCLUSIVE on a table that stands alone, for an instant.
DROP TRIGGER IF EXISTS repair_forget_key ON {table};
