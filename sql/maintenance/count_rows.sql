-- The rows that an index holds, counted: ACCESS SHARE, reads the index or the table once.
SELECT count(*)
FROM {table}
WHERE {predicate};
