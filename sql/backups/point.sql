-- One row.
SELECT point
FROM ops.backups
WHERE name = %(name)s;
