-- One row.
UPDATE ops.backups
SET state = 'failed', error = %(error)s
WHERE name = %(name)s;
