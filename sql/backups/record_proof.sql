-- One row: a backup that was restored and checked before it was recorded as complete.
INSERT INTO ops.restore_drills (
    backup, target, state, restored_to, recovery_seconds, loss_seconds, certificate, finished_at,
    run_id
)
VALUES (
    %(name)s, %(name)s, 'passed', %(restored_to)s, %(recovery_seconds)s, %(loss_seconds)s,
    %(certificate)s, clock_timestamp(), %(run_id)s
);
