-- name: generations
-- Every generation of one month. Primary key lookup.
SELECT
    month, generation, state, relation, relation_name, columns, objects, manifest, digests, departed_links, certificate,
    purged_buckets,
    archived_at, exported_at, proven_at, frozen_at, purged_at
FROM ops.archive
WHERE month = %(month)s
ORDER BY generation;

-- name: latest_generations
-- The newest generation of every month: a few rows a year, some 50 kB each.
SELECT DISTINCT ON (month)
    month, generation, state, relation, relation_name, columns, objects, manifest, digests, departed_links, certificate,
    purged_buckets,
    archived_at, exported_at, proven_at, frozen_at, purged_at
FROM ops.archive
ORDER BY month, generation DESC;

-- name: months_by_state
-- Months that have a generation in a state. A few rows a year.
SELECT DISTINCT month
FROM ops.archive
WHERE state = %(state)s
ORDER BY month;

-- name: begin_generation
-- The primary key lets only one of two concurrent runs open the same generation.
INSERT INTO ops.archive (month, generation, state, run_id)
SELECT %(month)s, coalesce(max(generation), 0) + 1, %(state)s, %(run_id)s
FROM ops.archive
WHERE month = %(month)s;

-- name: record_purged_bucket
-- In the transaction that removed the bucket's rows.
UPDATE ops.archive
SET purged_buckets = purged_buckets || %(bucket)s::smallint
WHERE month = %(month)s
  AND generation = %(generation)s;

-- name: update_generation
-- One row, matched by the state that the caller has seen: of two runs, one matches nothing.
UPDATE ops.archive
SET {assignments}
WHERE month = %(month)s
  AND generation = %(generation)s
  AND state = %(seen_state)s;
