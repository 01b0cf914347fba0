-- Every generation of one month. Primary key lookup.
SELECT
    month, generation, state, columns, objects, manifest, digests, departed_links, certificate,
    purged_buckets,
    archived_at, exported_at, proven_at, frozen_at, purged_at
FROM ops.archive
WHERE month = %(month)s
ORDER BY generation;
