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
