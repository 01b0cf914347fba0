-- What one index holds, read in its own order: the planner is left no other way to the rows.
SELECT
    count(*),
    coalesce(sum(entry.hash), 0)
FROM (
    SELECT hashtextextended({expressions}, 0) AS hash
    FROM ONLY {table}
    WHERE {predicate}
    ORDER BY {ordering}
) AS entry;
