-- The primary key lets only one of two concurrent runs open the same generation.
INSERT INTO ops.archive (month, generation, state, run_id)
SELECT %(month)s, coalesce(max(generation), 0) + 1, %(state)s, %(run_id)s
FROM ops.archive
WHERE month = %(month)s;
