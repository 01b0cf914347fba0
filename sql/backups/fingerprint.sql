-- One table's rows and the sum of their hashes. ACCESS SHARE; reads every row once. (r.*) is the
-- row even where a column is named r.
SELECT
    count(*),
    coalesce(sum(hashtextextended((r.*)::text, 0)), 0)
FROM ONLY {table} AS r;
