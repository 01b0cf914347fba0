-- The backup that was proven to reach furthest. Reads a few hundred rows.
SELECT name, restored_to, verified_at
FROM ops.verified_backups
ORDER BY restored_to DESC, verified_at DESC
LIMIT 1;
