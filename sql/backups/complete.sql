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
