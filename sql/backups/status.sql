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

-- name: first_backup_begun
-- When the first backup was begun that the operations know of, NULL before any.
SELECT min(b.started_at) AS begun_at FROM ops.backups AS b;

-- name: recent_drills
-- Restore drills since a moment, oldest first; those still running are left out.
SELECT
    d.started_at,
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
