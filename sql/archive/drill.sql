-- name: last_proofs
-- When each purged month was proven last, by its proof or by a drill that ended before a moment. A few
-- rows a year.
SELECT
    a.month,
    min(a.proven_at) AS proven_at,
    (
        SELECT max(d.finished_at)
        FROM ops.archive_drills AS d
        WHERE d.month = a.month
          AND d.state = 'proven'
          AND d.finished_at < %(before)s
          AND d.generations @> array_agg(a.generation)
    ) AS drilled_at
FROM ops.archive AS a
WHERE a.state = 'purged'
GROUP BY a.month
ORDER BY a.month;

-- name: open_drill
-- The drill that waits for Glacier; one at most.
SELECT id, month, generations, copy, state, estimate, asked_at, finished_at, certificate, error
FROM ops.archive_drills
WHERE state = 'asked';

-- name: newest_drill
-- The drill that ended last. Primary key, a few rows a year.
SELECT id, month, generations, copy, state, estimate, asked_at, finished_at, certificate, error
FROM ops.archive_drills
WHERE state <> 'asked'
ORDER BY finished_at DESC
LIMIT 1;

-- name: begin_drill
-- One row; the unique index lets one drill wait at a time.
INSERT INTO ops.archive_drills (month, generations, copy, estimate, run_id)
VALUES (%(month)s, %(generations)s, %(copy)s, %(estimate)s, %(run_id)s)
RETURNING id;

-- name: end_drill
-- One row, by its primary key, unless somebody has ended it.
UPDATE ops.archive_drills
SET state = %(state)s, finished_at = clock_timestamp(), certificate = %(certificate)s, error = %(error)s
WHERE id = %(id)s
  AND state = 'asked';

-- name: ended_drills
-- Every drill that ended, oldest first: one a month.
SELECT to_jsonb(d) - ARRAY['id', 'run_id'] AS record
FROM ops.archive_drills AS d
WHERE d.state <> 'asked'
ORDER BY d.finished_at;

-- name: adopt_drill
-- One of the bucket's, unless this database knows it.
INSERT INTO ops.archive_drills (
    month, generations, copy, state, estimate, asked_at, finished_at, certificate, error
)
SELECT r.month, r.generations, r.copy, r.state, r.estimate, r.asked_at, r.finished_at, r.certificate, r.error
FROM jsonb_populate_record(NULL::ops.archive_drills, %(record)s) AS r
ON CONFLICT (month, finished_at) DO NOTHING;

-- name: refuted_drills
-- The last verdict of each month and bucket, where it is refuted. A few rows a year.
SELECT id, month, generations, copy, state, estimate, asked_at, finished_at, certificate, error
FROM (
    SELECT DISTINCT ON (d.month, d.copy) d.*
    FROM ops.archive_drills AS d
    WHERE d.state IN ('proven', 'refuted')
      AND EXISTS (
          SELECT
          FROM ops.archive AS a
          WHERE a.month = d.month
            AND a.state = 'purged'
            AND a.generation = ANY (d.generations)
      )
    ORDER BY d.month, d.copy, d.finished_at DESC
) AS last
WHERE state = 'refuted'
ORDER BY finished_at;
