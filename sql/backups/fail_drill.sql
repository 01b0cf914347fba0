-- One row.
UPDATE ops.restore_drills
SET
    state = 'failed',
    certificate = %(certificate)s,
    error = %(error)s,
    finished_at = clock_timestamp()
WHERE id = %(id)s;
