-- name: entries
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

-- name: fail_dead
-- Rows that a dead run left; the caller holds the lock that a living one would hold.
UPDATE ops.backups
SET state = 'failed', error = 'its run died'
WHERE kind = %(kind)s AND state = 'taking';

-- name: begin
-- One row.
INSERT INTO ops.backups (name, kind, provider, state, run_id)
VALUES (%(name)s, %(kind)s, %(provider)s, 'taking', %(run_id)s);

-- name: fail
-- One row.
UPDATE ops.backups
SET state = 'failed', error = %(error)s
WHERE name = %(name)s;

-- name: complete
-- One row. A backup that was given up as failed or missing may turn out to be whole.
UPDATE ops.backups
SET
    state = 'complete',
    provider_id = %(provider_id)s,
    point_at = %(point_at)s,
    point = %(point)s,
    bytes = %(bytes)s,
    objects = %(objects)s,
    completed_at = clock_timestamp(),
    error = NULL
WHERE name = %(name)s;

-- name: adopt
-- One row, unless there is one already.
INSERT INTO ops.backups (name, kind, provider, state, started_at, run_id)
VALUES (%(name)s, %(kind)s, %(provider)s, 'taking', %(started_at)s, %(run_id)s)
ON CONFLICT (name) DO NOTHING;

-- name: set_state
-- One row.
UPDATE ops.backups
SET
    state = %(state)s,
    error = %(error)s,
    -- What is gone needs no record of how to get there.
    point = CASE WHEN %(state)s <> 'deleted' THEN point END,
    deleted_at = CASE WHEN %(state)s = 'deleted' THEN clock_timestamp() END
WHERE name = %(name)s;

-- name: point
-- One row.
SELECT point
FROM ops.backups
WHERE name = %(name)s;

-- name: end_dead_drills
-- Drills that a dead run left; the caller holds the lock that a living one would hold.
UPDATE ops.restore_drills
SET state = 'died'
WHERE state = 'running';

-- name: begin_drill
-- One row.
INSERT INTO ops.restore_drills (backup, target, state, run_id)
VALUES (%(backup)s, %(target)s, 'running', %(run_id)s)
RETURNING id;

-- name: pass_drill
-- One row.
UPDATE ops.restore_drills
SET
    state = 'passed',
    restored_to = %(restored_to)s,
    recovery_seconds = %(recovery_seconds)s,
    loss_seconds = %(loss_seconds)s,
    certificate = %(certificate)s,
    finished_at = clock_timestamp()
WHERE id = %(id)s;

-- name: record_proof
-- One row: a backup that was restored and checked before it was recorded as complete.
INSERT INTO ops.restore_drills (
    backup, target, state, restored_to, recovery_seconds, loss_seconds, certificate, finished_at,
    run_id
)
VALUES (
    %(name)s, %(name)s, 'passed', %(restored_to)s, %(recovery_seconds)s, %(loss_seconds)s,
    %(certificate)s, clock_timestamp(), %(run_id)s
);

-- name: fail_drill
-- One row.
UPDATE ops.restore_drills
SET
    state = 'failed',
    certificate = %(certificate)s,
    error = %(error)s,
    finished_at = clock_timestamp()
WHERE id = %(id)s;

-- name: give_up_drill
-- One row.
UPDATE ops.restore_drills
SET state = 'died', error = %(error)s
WHERE id = %(id)s;

-- name: newest_verified
-- The full that was proven to reach furthest; a dump in Glacier is no quick help. Reads a few
-- hundred rows.
SELECT name, restored_to, verified_at
FROM ops.verified_backups
WHERE kind = 'full'
ORDER BY restored_to DESC, verified_at DESC
LIMIT 1;
