-- How many rows share the key of each sampled row, counted up to a cap: one index descent for each
-- distinct key, under ACCESS SHARE. All rows asked for are null in the same columns: an index
-- serves IS NULL and equality, but not IS NOT DISTINCT FROM.
SELECT sampled.tids, same.rows
FROM (
    SELECT array_agg(found.tid::text) AS tids, {key_names}
    FROM (
        SELECT ctid AS tid, {keys}
        FROM {table}
        WHERE ctid = ANY (%(rows)s::tid[]) AND {predicate}
    ) AS found
    GROUP BY {key_names}
) AS sampled
CROSS JOIN LATERAL (
    SELECT count(*) AS rows
    FROM (
        SELECT FROM {table}
        WHERE {same_keys} AND {predicate}
        LIMIT %(cap)s
    ) AS found
) AS same;
