-- A refutation lies in the bucket and can't be read: nobody knows what it is about. Until somebody knows,
-- its backup is none that anything may rely on.

-- What can't be read, and why; NULL where there is none, or where a newer verdict is known. Set by each
-- inventory.
ALTER TABLE ops.backups ADD COLUMN unread_refutation text CHECK (unread_refutation <> '');

-- As before, and without those of an unread refutation.
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
  AND b.unread_refutation IS NULL
  AND NOT EXISTS (
      SELECT FROM ops.restore_drills AS f
      WHERE f.backup = b.name AND f.verdict = 'refuted' AND f.refutes IS DISTINCT FROM 'log'
        AND f.id > d.id
  )
GROUP BY b.name;
