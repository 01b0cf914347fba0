-- One row.
UPDATE ops.restore_drills
SET state = 'died', error = %(error)s
WHERE id = %(id)s;
