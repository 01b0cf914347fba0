-- name: merged_tables
-- Which of a run's scratch tables are there. Catalog reads only.
SELECT coalesce(array_agg(c.relname::text), '{}')
FROM pg_class AS c
WHERE c.relnamespace = 'ops'::regnamespace
  AND c.relname = ANY (%(names)s);

-- name: add_to_merged
-- Rows of one generation that no newer one holds. Hash anti-join of two scratch tables.
INSERT INTO {merged} ({columns})
SELECT {values}
FROM (
    SELECT c.*
    FROM {part}
    WHERE NOT EXISTS (SELECT FROM {newer_rows} AS newer WHERE {newer})
) AS c;
