CREATE OR REPLACE VIEW ops.verified_backups AS
SELECT
    b.name,
    b.kind,
    b.provider,
    b.provider_id,
    b.point_at,
    max(d.restored_to) AS restored_to,
    max(d.finished_at) AS verified_at
FROM ops.backups AS b
JOIN ops.restore_drills AS d ON d.backup = b.name AND d.state = 'passed'
WHERE b.state = 'complete'
  AND NOT EXISTS (
      SELECT FROM ops.restore_drills AS f
      WHERE f.backup = b.name AND f.state = 'failed' AND f.id > d.id
  )
GROUP BY b.name;

-- Drills of what is no backup of ours have no place in the older ledger.
DELETE FROM ops.restore_drills WHERE backup IS NULL;
ALTER TABLE ops.restore_drills
    DROP COLUMN refutes,
    DROP COLUMN verdict,
    DROP COLUMN restored_from,
    ALTER COLUMN backup SET NOT NULL;

ALTER TABLE ops.backups
    DROP CONSTRAINT backups_acknowledged,
    DROP COLUMN acknowledgement,
    DROP COLUMN acknowledged_by,
    DROP COLUMN acknowledged_at,
    DROP COLUMN needs,
    DROP COLUMN first_wal,
    DROP CONSTRAINT backups_provider_check,
    ADD CONSTRAINT backups_provider_check CHECK (provider IN ('barman', 'rds'));
