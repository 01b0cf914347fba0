-- name: backups_at_a_glance
-- The newest complete backup of each kind, and how many of the newest ended badly since. One row a
-- kind that was ever tried.
SELECT
    b.kind,
    max(b.point_at) FILTER (WHERE b.state = 'complete') AS newest_point,
    count(*) FILTER (WHERE b.state = 'missing') AS missing
FROM ops.backups AS b
WHERE b.state <> 'deleted'
GROUP BY b.kind
ORDER BY b.kind;

-- name: recent_drills
-- Restore drills since a moment, oldest first; those still running are left out.
SELECT
    d.finished_at,
    d.state,
    d.backup,
    d.recovery_seconds,
    d.loss_seconds,
    d.error
FROM ops.restore_drills AS d
WHERE d.state <> 'running'
  AND d.started_at >= %(since)s
ORDER BY d.id;

-- name: wraparound
-- The oldest transaction and multixact of any database, as shares of the age at which autovacuum
-- is forced to freeze. Above 1 it is behind; at some 10 the server stops writing.
SELECT
    max(age(d.datfrozenxid))::float8 / current_setting('autovacuum_freeze_max_age')::float8
        AS transactions,
    max(mxid_age(d.datminmxid))::float8
        / current_setting('autovacuum_multixact_freeze_max_age')::float8 AS multixacts
FROM pg_database AS d;

-- name: bloat_at_a_glance
-- What rebuilding indexes would give back, by the newest estimate of each that still exists with
-- the file that was estimated.
SELECT
    count(*) AS indexes,
    coalesce(sum(e.bytes), 0)::bigint AS bytes,
    coalesce(sum(greatest(e.bytes - e.estimated_bytes, 0)), 0)::bigint AS reclaimable,
    count(*) FILTER (WHERE e.bytes - e.estimated_bytes >= 0.3 * e.bytes) AS bloated,
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
