-- The backups that are not deleted, with the state of their proof. A few hundred rows.
SELECT
    b.name,
    b.kind,
    b.provider,
    b.state,
    b.provider_id,
    b.point_at,
    b.objects,
    b.started_at,
    b.completed_at,
    b.error,
    v.verified_at,
    v.restored_to,
    EXISTS (
        SELECT FROM ops.restore_drills AS d
        WHERE d.backup = b.name AND d.state = 'passed'
    ) AS was_verified
FROM ops.backups AS b
LEFT JOIN ops.verified_backups AS v ON v.name = b.name
WHERE b.state <> 'deleted'
ORDER BY coalesce(b.point_at, b.started_at), b.name;
