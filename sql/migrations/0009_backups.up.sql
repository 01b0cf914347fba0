-- What the operations know of backups: fulls, increments and dumps, each with the point that it
-- can be restored to, and the drills that did restore them. The provider's inventory says what
-- exists; these tables say what was promised and what was proven.

-- One row a backup that was begun. "missing" is one that the provider no longer has, and that
-- nobody here deleted.
CREATE TABLE ops.backups (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9-]{1,62}$'),
    kind text NOT NULL CHECK (kind IN ('full', 'increment', 'dump')),
    provider text NOT NULL CHECK (provider IN ('barman', 'rds')),
    state text NOT NULL CHECK (state IN (
        'taking', 'complete', 'failed', 'missing', 'deleting', 'deleted'
    )),
    -- What the provider calls it: barman's backup id, a snapshot's identifier, an object's key.
    provider_id text,
    -- Everything that was committed before this moment is in the backup.
    point_at timestamptz,
    -- Where recovery has to stop, and the fingerprint of every table there.
    point jsonb,
    bytes bigint,
    -- The names of its objects and their ETags as they were written.
    objects jsonb,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    completed_at timestamptz,
    deleted_at timestamptz,
    run_id text,
    error text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT backups_complete_has_point CHECK (
        state <> 'complete' OR num_nonnulls(provider_id, point_at, point, completed_at) = 4
    )
);
CREATE INDEX backups_newest ON ops.backups (kind, point_at DESC) WHERE state = 'complete';
CREATE TRIGGER set_updated_at BEFORE UPDATE ON ops.backups
    FOR EACH ROW EXECUTE FUNCTION public.set_updated_at();

-- One row a restore that was tried. The full "backup" was restored and recovered to the point of
-- "target", which is the full itself or a later increment.
CREATE TABLE ops.restore_drills (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    backup text NOT NULL REFERENCES ops.backups (name),
    target text NOT NULL REFERENCES ops.backups (name),
    -- A drill whose run died showed nothing, neither for nor against its backup.
    state text NOT NULL CHECK (state IN ('running', 'passed', 'failed', 'died')),
    -- The target's point_at, once everything before it was found in the restored copy.
    restored_to timestamptz,
    -- From the first byte fetched to a server that answers at the target.
    recovery_seconds double precision CHECK (recovery_seconds >= 0),
    -- How much would have been lost if the database had been destroyed when the drill began.
    loss_seconds double precision CHECK (loss_seconds >= 0),
    certificate jsonb,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    run_id text,
    error text,
    CONSTRAINT restore_drills_passed_has_certificate CHECK (
        state <> 'passed'
        OR num_nonnulls(restored_to, recovery_seconds, certificate, finished_at) = 4
    )
);
CREATE INDEX restore_drills_by_backup ON ops.restore_drills (backup, finished_at DESC);
CREATE INDEX restore_drills_by_target ON ops.restore_drills (target);

-- Backups that exist and whose last drill passed. A failed drill takes away what earlier ones
-- had proven: whatever broke, the backup can't be relied on now.
CREATE VIEW ops.verified_backups AS
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

GRANT SELECT ON ops.backups, ops.restore_drills, ops.verified_backups TO ft_readonly;
