CREATE OR REPLACE VIEW ops.verified_backups AS
SELECT
    b.name,
    b.kind,
    b.provider,
    b.provider_id,
    b.point_at,
    max(
        CASE
            WHEN t.state = 'complete' AND NOT EXISTS (
                SELECT FROM ops.restore_drills AS f
                WHERE f.backup = b.name AND f.verdict = 'refuted' AND f.refutes = 'log'
                  AND f.id > d.id
            ) THEN d.restored_to
            ELSE least(d.restored_to, b.point_at)
        END
    ) AS restored_to,
    max(d.finished_at) AS verified_at
FROM ops.backups AS b
JOIN ops.restore_drills AS d ON d.backup = b.name AND d.verdict = 'proven'
JOIN ops.backups AS t ON t.name = d.target
WHERE b.state = 'complete'
  AND NOT EXISTS (
      SELECT FROM ops.restore_drills AS f
      WHERE f.backup = b.name AND f.verdict = 'refuted' AND f.refutes IS DISTINCT FROM 'log'
        AND f.id > d.id
  )
GROUP BY b.name;
ALTER TABLE ops.backups DROP COLUMN unread_refutation;
