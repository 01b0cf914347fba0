-- The newest generation of every month: a few rows a year, some 50 kB each.
SELECT DISTINCT ON (month)
    month, generation, state, columns, objects, manifest, digests, departed_links, certificate,
    purged_buckets,
    archived_at, exported_at, proven_at, frozen_at, purged_at
FROM ops.archive
ORDER BY month, generation DESC;
