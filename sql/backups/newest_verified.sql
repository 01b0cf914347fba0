-- The full that was proven to reach furthest; a dump in Glacier is no quick help. Reads a few
-- hundred rows.
SELECT name, restored_to, verified_at
FROM ops.verified_backups
WHERE kind = 'full'
ORDER BY restored_to DESC, verified_at DESC
LIMIT 1;
