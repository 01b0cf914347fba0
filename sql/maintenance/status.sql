-- name: bloat_at_a_glance
-- What rebuilding indexes would give back, by the newest estimate of each that still exists with
-- the file that was estimated. A ratio to its best days is no estimate of what a build would make.
SELECT
    count(*) AS indexes,
    coalesce(sum(e.bytes), 0)::bigint AS bytes,
    coalesce(sum(greatest(e.bytes - e.estimated_bytes, 0)) FILTER (WHERE e.method <> 'size ratio'), 0)::bigint
        AS reclaimable,
    count(*) FILTER (
        WHERE e.method <> 'size ratio' AND e.bytes - e.estimated_bytes >= 0.3 * e.bytes
    ) AS bloated,
    max(e.estimated_at) AS estimated_at
FROM ops.index_estimates AS e
JOIN pg_class AS c ON c.relname = e.index_name AND pg_relation_filenode(c.oid) = e.file_node
JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = e.schema_name
WHERE e.estimated_bytes IS NOT NULL;

-- name: failed_rebuilds
-- Rebuilds of indexes that failed since a moment, the newest first.
SELECT r.index_name, r.error
FROM ops.index_rebuilds AS r
WHERE r.state = 'failed'
  AND r.finished_at >= %(since)s
ORDER BY r.finished_at DESC;
