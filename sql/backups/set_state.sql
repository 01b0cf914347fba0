-- One row.
UPDATE ops.backups
SET
    state = %(state)s,
    error = %(error)s,
    -- What is gone needs no record of how to get there.
    point = CASE WHEN %(state)s <> 'deleted' THEN point END,
    deleted_at = CASE WHEN %(state)s = 'deleted' THEN clock_timestamp() END
WHERE name = %(name)s;
