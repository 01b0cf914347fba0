-- name: last_proofs
-- When each purged month was proven last, by its proof or by a drill that ended before a moment. A few
-- rows a year.
SELECT
    a.ledger,
    a.month,
    min(a.proven_at) AS proven_at,
    (
        SELECT max(d.finished_at)
        FROM ops.archive_drills AS d
        WHERE d.ledger = a.ledger
          AND d.month = a.month
          AND d.state = 'proven'
          AND d.finished_at < %(before)s
          AND d.generations @> array_agg(a.generation)
    ) AS drilled_at
FROM (
    SELECT 'archive' AS ledger, month, generation, proven_at
    FROM ops.archive
    WHERE state = 'purged'
    UNION ALL
    SELECT 'audit_archive', month, generation, proven_at
    FROM ops.audit_archive
    WHERE state = 'purged'
) AS a
GROUP BY a.ledger, a.month
ORDER BY a.month, a.ledger;

-- name: open_drill
-- The drill that waits for Glacier; one at most.
SELECT id, ledger, month, generations, copy, state, estimate, asked_at, finished_at, certificate, error
FROM ops.archive_drills
WHERE state = 'asked';

-- name: newest_drill
-- The drill that ended last. Primary key, a few rows a year.
SELECT id, ledger, month, generations, copy, state, estimate, asked_at, finished_at, certificate, error
FROM ops.archive_drills
WHERE state <> 'asked'
ORDER BY finished_at DESC
LIMIT 1;

-- name: begin_drill
-- One row; the unique index lets one drill wait at a time.
INSERT INTO ops.archive_drills (ledger, month, generations, copy, estimate, run_id)
VALUES (%(ledger)s, %(month)s, %(generations)s, %(copy)s, %(estimate)s, %(run_id)s)
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
-- One of the bucket's, unless this database knows it; earlier versions named no ledger.
INSERT INTO ops.archive_drills (
    ledger, month, generations, copy, state, estimate, asked_at, finished_at, certificate, error
)
SELECT coalesce(r.ledger, 'archive'), r.month, r.generations, r.copy, r.state, r.estimate, r.asked_at, r.finished_at, r.certificate, r.error
FROM jsonb_populate_record(NULL::ops.archive_drills, %(record)s) AS r
ON CONFLICT (month, finished_at) DO NOTHING;

-- name: refuted_drills
-- The last verdict of each month and bucket, where it is refuted. A few rows a year.
SELECT id, ledger, month, generations, copy, state, estimate, asked_at, finished_at, certificate, error
FROM (
    SELECT DISTINCT ON (d.ledger, d.month, d.copy) d.*
    FROM ops.archive_drills AS d
    WHERE d.state IN ('proven', 'refuted')
      AND EXISTS (
          SELECT
          FROM (
              SELECT 'archive' AS ledger, month, generation, state FROM ops.archive
              UNION ALL
              SELECT 'audit_archive', month, generation, state FROM ops.audit_archive
          ) AS a
          WHERE a.ledger = d.ledger
            AND a.month = d.month
            AND a.state = 'purged'
            AND a.generation = ANY (d.generations)
      )
    ORDER BY d.ledger, d.month, d.copy, d.finished_at DESC
) AS last
WHERE state = 'refuted'
ORDER BY finished_at;
