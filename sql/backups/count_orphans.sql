-- Rows of a child whose parent is missing. ACCESS SHARE; reads both tables once.
SELECT count(*)
FROM {child} AS c
WHERE {is_reference}
  AND NOT EXISTS (SELECT FROM {parent} AS p WHERE {matches});
