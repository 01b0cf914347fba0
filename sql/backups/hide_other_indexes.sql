-- For one transaction in a copy that nobody else uses, to be rolled back: leaves the planner a
-- single index of a table.
UPDATE pg_index
SET indisvalid = (indexrelid = %(index_id)s)
WHERE indrelid = %(table_id)s;
