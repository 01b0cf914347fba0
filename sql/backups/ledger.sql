-- name: entries
-- The backups that are not deleted, with what is proven of them. A few hundred rows.
SELECT
    b.name,
    b.kind,
    b.provider,
    b.state,
    b.provider_id,
    b.point_at,
    b.objects,
    b.started_at,
    b.completed_at,
    b.error,
    b.first_wal,
    b.point -> 'mark' ->> 'wal' AS mark_wal,
    b.point ->> 'system_identifier' AS cluster,
    b.needs,
    v.verified_at,
    v.restored_to,
    EXISTS (
        SELECT FROM ops.restore_drills AS d
        WHERE d.backup = b.name AND d.verdict = 'proven'
    ) AS was_verified,
    content.verdict,
    content.finished_at AS judged_at,
    content.error AS finding,
    log.error AS log_finding,
    undecided.error AS undecided,
    b.unread_refutation,
    b.acknowledged_at,
    b.acknowledged_by,
    b.acknowledgement
FROM ops.backups AS b
LEFT JOIN ops.verified_backups AS v ON v.name = b.name
-- The last verdict about its content.
LEFT JOIN LATERAL (
    SELECT d.id, d.verdict, d.finished_at, d.error
    FROM ops.restore_drills AS d
    WHERE d.backup = b.name
      AND d.verdict IN ('proven', 'refuted')
      AND d.refutes IS DISTINCT FROM 'log'
    ORDER BY d.id DESC
    LIMIT 1
) AS content ON true
-- What was found of the log behind it, or of the way to its moment, unless somebody came through
-- there since.
LEFT JOIN LATERAL (
    SELECT d.error
    FROM ops.restore_drills AS d
    WHERE d.verdict = 'refuted'
      AND (d.backup = b.name AND d.refutes = 'log' OR d.backup IS NULL AND d.target = b.name)
      AND NOT EXISTS (
          SELECT
          FROM ops.restore_drills AS p
          WHERE p.id > d.id
            AND p.verdict = 'proven'
            AND p.backup IS NOT DISTINCT FROM d.backup
            AND p.restored_to > b.point_at - interval '1 second'
            AND (p.backup IS NULL OR p.target <> b.name)
      )
    ORDER BY d.id DESC
    LIMIT 1
) AS log ON true
-- Its last drill, if that came to no verdict.
LEFT JOIN LATERAL (
    SELECT CASE WHEN d.verdict = 'unknown' THEN coalesce(d.error, 'its run died') END AS error
    FROM ops.restore_drills AS d
    WHERE (d.backup = b.name OR d.backup IS NULL AND d.target = b.name)
      AND d.verdict IS NOT NULL
    ORDER BY d.id DESC
    LIMIT 1
) AS undecided ON true
WHERE b.state <> 'deleted'
ORDER BY coalesce(b.point_at, b.started_at), b.name;

-- name: fail_dead
-- Rows that a dead run left; the caller holds the lock that a living one would hold.
UPDATE ops.backups
SET state = 'failed', error = 'its run died'
WHERE kind = %(kind)s AND state = 'taking';

-- name: begin
-- One row.
INSERT INTO ops.backups (name, kind, provider, state, run_id)
VALUES (%(name)s, %(kind)s, %(provider)s, 'taking', %(run_id)s);

-- name: fail
-- One row.
UPDATE ops.backups
SET state = 'failed', error = %(error)s
WHERE name = %(name)s;

-- name: complete
-- One row. A backup that was given up as failed or missing may turn out to be whole.
UPDATE ops.backups
SET
    state = 'complete',
    provider_id = %(provider_id)s,
    point_at = %(point_at)s,
    point = %(point)s,
    bytes = %(bytes)s,
    objects = %(objects)s,
    first_wal = coalesce(%(first_wal)s, first_wal),
    needs = %(needs)s,
    completed_at = clock_timestamp(),
    error = NULL
WHERE name = %(name)s;

-- name: begun_as
-- One row: what the provider calls the backup that is being taken.
UPDATE ops.backups
SET provider_id = %(provider_id)s
WHERE name = %(name)s AND state = 'taking';

-- name: log_begins
-- One row: where the log of a backup begins that was recorded before this was.
UPDATE ops.backups
SET first_wal = %(first_wal)s
WHERE name = %(name)s AND first_wal IS NULL;

-- name: adopt
-- One row, unless there is one already.
INSERT INTO ops.backups (name, kind, provider, state, started_at, run_id)
VALUES (%(name)s, %(kind)s, %(provider)s, 'taking', %(started_at)s, %(run_id)s)
ON CONFLICT (name) DO NOTHING;

-- name: set_state
-- One row.
UPDATE ops.backups
SET
    state = %(state)s,
    error = %(error)s,
    -- What is gone needs no record of how to get there.
    point = CASE WHEN %(state)s <> 'deleted' THEN point END,
    deleted_at = CASE WHEN %(state)s = 'deleted' THEN clock_timestamp() END,
    -- What is back is not what a person gave up.
    acknowledged_at = CASE WHEN %(state)s <> 'complete' THEN acknowledged_at END,
    acknowledged_by = CASE WHEN %(state)s <> 'complete' THEN acknowledged_by END,
    acknowledgement = CASE WHEN %(state)s <> 'complete' THEN acknowledgement END
WHERE name = %(name)s;

-- name: acknowledge
-- One row.
UPDATE ops.backups
SET
    acknowledged_at = clock_timestamp(),
    acknowledged_by = %(by)s,
    acknowledgement = %(reason)s
WHERE name = %(name)s;

-- name: discard
-- One row: what lies in the store and was no backup of ours becomes one that failed.
INSERT INTO ops.backups (
    name, kind, provider, state, provider_id, started_at, error,
    acknowledged_at, acknowledged_by, acknowledgement
)
VALUES (
    %(name)s, %(kind)s, %(provider)s, 'failed', %(provider_id)s,
    coalesce(%(started_at)s, clock_timestamp()),
    'discarded by a person', clock_timestamp(), %(by)s, %(reason)s
);

-- name: point
-- One row.
SELECT point
FROM ops.backups
WHERE name = %(name)s;

-- name: newest_points
-- A few rows of some hundred kilobytes.
SELECT point
FROM ops.backups
WHERE state = 'complete' AND kind IN ('full', 'increment') AND point IS NOT NULL
ORDER BY point_at DESC
LIMIT %(limit)s;

-- name: end_dead_drills
-- Drills that a dead run left; the caller holds the lock that a living one would hold.
UPDATE ops.restore_drills
SET state = 'died', error = 'its run died', finished_at = clock_timestamp()
WHERE state = 'running';

-- name: begin_drill
-- One row.
INSERT INTO ops.restore_drills (backup, target, state, run_id, restored_from)
VALUES (%(backup)s, %(target)s, 'running', %(run_id)s, %(restored_from)s)
RETURNING id;

-- name: pass_drill
-- One row, and that of its backup where it had a refutation that nobody could read: this verdict is
-- newer, and the next inventory tells of one that is newer still.
WITH known AS (
    UPDATE ops.backups AS b
    SET unread_refutation = NULL
    FROM ops.restore_drills AS d
    WHERE d.id = %(id)s AND b.name = d.backup AND b.unread_refutation IS NOT NULL
)
UPDATE ops.restore_drills
SET
    state = 'passed',
    restored_to = %(restored_to)s,
    recovery_seconds = %(recovery_seconds)s,
    loss_seconds = %(loss_seconds)s,
    certificate = %(certificate)s,
    finished_at = clock_timestamp()
WHERE id = %(id)s;

-- name: record_proof
-- One row: a backup that was restored and checked before it was recorded as complete.
INSERT INTO ops.restore_drills (
    backup, target, state, restored_to, recovery_seconds, loss_seconds, certificate, finished_at,
    run_id
)
VALUES (
    %(name)s, %(name)s, 'passed', %(restored_to)s, %(recovery_seconds)s, %(loss_seconds)s,
    %(certificate)s, clock_timestamp(), %(run_id)s
);

-- name: refute_drill
-- One row.
UPDATE ops.restore_drills
SET
    state = 'failed',
    refutes = %(refutes)s,
    certificate = %(certificate)s,
    error = %(error)s,
    finished_at = clock_timestamp()
WHERE id = %(id)s;

-- name: give_up_drill
-- One row.
UPDATE ops.restore_drills
SET
    state = 'died',
    certificate = %(certificate)s,
    error = %(error)s,
    finished_at = clock_timestamp()
WHERE id = %(id)s;

-- name: known_drills
-- The runs of a backup's drills, and when the newest one ended.
SELECT
    coalesce(array_agg(run_id) FILTER (WHERE run_id IS NOT NULL), '{}') AS runs,
    max(finished_at) AS newest
FROM ops.restore_drills
WHERE backup = %(name)s AND verdict IS NOT NULL;

-- name: unread_refutations
-- The backups whose refutations can't be read, and no others. Writes only where that has changed; takes
-- ROW EXCLUSIVE, and reads a few hundred rows.
UPDATE ops.backups AS b
SET unread_refutation = f.words
FROM
    (
        SELECT k.name, u.words
        FROM ops.backups AS k
        LEFT JOIN
            unnest(%(names)s::text [], %(words)s::text []) AS u (name, words)
            ON u.name = k.name
    ) AS f
WHERE f.name = b.name AND b.unread_refutation IS DISTINCT FROM f.words;

-- name: restore_verdict
-- One row: a verdict that the bucket's certificates tell and this database does not know. Where
-- its target is unknown, it is a verdict up to the backup's own point.
INSERT INTO ops.restore_drills (
    backup, target, state, restored_to, recovery_seconds, loss_seconds, certificate, started_at,
    finished_at, run_id, error, refutes
)
SELECT
    b.name,
    coalesce(t.name, b.name),
    %(state)s,
    CASE
        WHEN t.name IS NULL THEN least(%(restored_to)s::timestamptz, b.point_at)
        ELSE %(restored_to)s::timestamptz
    END,
    %(recovery_seconds)s,
    %(loss_seconds)s,
    %(certificate)s,
    %(finished_at)s::timestamptz,
    %(finished_at)s::timestamptz,
    %(run_id)s,
    %(error)s,
    %(refutes)s
FROM ops.backups AS b
LEFT JOIN ops.backups AS t ON t.name = %(target)s
WHERE b.name = %(name)s;

-- name: newest_verified
-- The full that was proven to reach furthest; a dump in Glacier is no quick help. Of one that reaches into what is
-- still to come, a clock that went wrong has dated the rows, and nobody knows how far it reaches. Reads a few hundred
-- rows.
SELECT name, restored_to, verified_at
FROM ops.verified_backups
WHERE kind = 'full'
  AND restored_to <= clock_timestamp() + %(most_clock_skew)s
ORDER BY restored_to DESC, verified_at DESC
LIMIT 1;

-- name: oldest_point
-- Of every backup that exists, dumps among them. Reads a few hundred rows.
SELECT min(point_at)
FROM ops.backups
WHERE state IN ('complete', 'missing', 'deleting');
