-- One row.
UPDATE ops.backups
SET
    state = %(state)s,
    error = %(error)s,
    deleted_at = CASE WHEN %(state)s = 'deleted' THEN clock_timestamp() END
WHERE name = %(name)s;
