-- One row.
INSERT INTO ops.restore_drills (backup, target, state, run_id)
VALUES (%(backup)s, %(target)s, 'running', %(run_id)s)
RETURNING id;
