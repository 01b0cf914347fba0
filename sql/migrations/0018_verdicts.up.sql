-- A drill ends with one of three verdicts. Only one about the content, "refuted", takes trust away;
-- what could not be tried is unknown, and changes nothing. A proof is booked on what was restored.

ALTER TABLE ops.backups
    DROP CONSTRAINT backups_provider_check,
    ADD CONSTRAINT backups_provider_check CHECK (provider IN ('barman', 'pgbackrest', 'rds')),
    -- Where its own log begins: the first segment that a restore needs. NULL where the provider
    -- shows no log.
    ADD COLUMN first_wal text CHECK (first_wal ~ '^[0-9A-F]{24}$'),
    -- The names of the backups that it can't be restored without.
    ADD COLUMN needs text[] NOT NULL DEFAULT '{}',
    -- A person looked at what refuted or broke it, and lets retention delete it.
    ADD COLUMN acknowledged_at timestamptz,
    ADD COLUMN acknowledged_by text,
    ADD COLUMN acknowledgement text CHECK (acknowledgement <> ''),
    ADD CONSTRAINT backups_acknowledged CHECK (
        num_nonnulls(acknowledged_at, acknowledged_by, acknowledgement) IN (0, 3)
    );

ALTER TABLE ops.restore_drills
    -- NULL where what was restored is no backup of ours: RDS recovers to a moment from snapshots
    -- that it takes itself.
    ALTER COLUMN backup DROP NOT NULL,
    ADD COLUMN restored_from text,
    ADD COLUMN verdict text GENERATED ALWAYS AS (
        CASE state WHEN 'passed' THEN 'proven' WHEN 'failed' THEN 'refuted' WHEN 'died' THEN 'unknown' END
    ) STORED,
    -- What a refutation is about: the backup, or only the log behind the backup's own point. NULL,
    -- as before there was this column, means the backup.
    ADD COLUMN refutes text CHECK (refutes IN ('backup', 'log'));

-- Backups that exist and whose last verdict about their content is a proof. What was restored to a
-- point that does not count any more, or through log that was refuted since, is a proof up to the
-- backup's own point.
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
