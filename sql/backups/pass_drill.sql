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
