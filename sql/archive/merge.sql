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

-- name: add_families
-- Whose the segments of one part were, but those of a newer generation. Probes of a scratch table's key.
INSERT INTO {families} (id, family_id)
SELECT p.id, p.{family}
FROM {part} AS p
ON CONFLICT DO NOTHING;
