-- name: unshipped_records
-- What was written down and is not in the bucket yet, oldest first; by the primary key. Ids that a
-- running transaction has taken are found by a later run.
SELECT id, kind, record, recorded_at
FROM ops.unshipped_records
ORDER BY id
LIMIT %(limit)s;

-- name: forget_shipped
-- By id, once the object that holds them is written. Row locks on these alone.
DELETE FROM ops.unshipped_records
WHERE id = ANY (%(ids)s);

-- name: unshipped_generations
-- Proven generations whose last change is not in the bucket: a few rows a year, some 50 kB each. What
-- is at work on changes again in a moment, and is recorded as it was before.
SELECT a.month, a.generation, a.updated_at, to_jsonb(a) - ARRAY['relation', 'relation_name'] AS row
FROM ops.archive AS a
LEFT JOIN ops.shipped_generations AS s USING (month, generation)
WHERE a.proven_at IS NOT NULL
  AND a.state IN ('proven', 'frozen', 'purged', 'superseded')
  AND s.updated_at IS DISTINCT FROM a.updated_at
ORDER BY a.month, a.generation;

-- name: record_shipped
-- One row, by its primary key.
INSERT INTO ops.shipped_generations (month, generation, updated_at)
VALUES (%(month)s, %(generation)s, %(updated_at)s)
ON CONFLICT (month, generation) DO UPDATE SET updated_at = excluded.updated_at;

-- name: replacement_is_recorded
-- Whether the bucket has a generation's row as it is, and that of the one which replaces it as of its
-- freeze or later. By primary keys.
SELECT EXISTS (
    SELECT
    FROM ops.archive AS a
    JOIN ops.shipped_generations AS s USING (month, generation)
    WHERE a.month = %(month)s
      AND a.generation = %(generation)s
      AND s.updated_at = a.updated_at
) AND EXISTS (
    SELECT
    FROM ops.archive AS a
    JOIN ops.shipped_generations AS s USING (month, generation)
    WHERE a.month = %(month)s
      AND a.generation = %(by)s
      AND s.updated_at >= a.frozen_at
) AS recorded;

-- name: count_unshipped
-- What waits, and since when; reads what waits.
SELECT count(*), min(w.since)
FROM (
    SELECT r.recorded_at AS since
    FROM ops.unshipped_records AS r
    UNION ALL
    SELECT a.updated_at
    FROM ops.archive AS a
    LEFT JOIN ops.shipped_generations AS s USING (month, generation)
    WHERE a.proven_at IS NOT NULL
      AND a.state IN ('proven', 'frozen', 'purged', 'superseded')
      AND s.updated_at IS DISTINCT FROM a.updated_at
) AS w;

-- name: records_folder
-- Where records have been shipped to so far: one row, or none before the first of them.
SELECT bucket, prefix
FROM ops.records_folder;

-- name: record_folder
-- The one row, by its primary key.
INSERT INTO ops.records_folder (bucket, prefix)
VALUES (%(bucket)s, %(prefix)s)
ON CONFLICT (is_current) DO UPDATE
SET bucket = excluded.bucket, prefix = excluded.prefix, used_since = clock_timestamp();

-- name: record_everything_again
-- All tombstones, withdrawals and holds as they stand, at the moments at which they were made: some
-- thousands of rows. Nobody waits for them.
INSERT INTO ops.unshipped_records (kind, record, recorded_at)
SELECT again.kind, again.record, again.made_at
FROM (
    SELECT 'erasure' AS kind, to_jsonb(e) AS record, e.erased_at AS made_at
    FROM ops.erasures AS e
    UNION ALL
    SELECT 'erased_row', to_jsonb(e), e.erased_at
    FROM ops.erased_rows AS e
    UNION ALL
    SELECT 'withdrawn_erasure', to_jsonb(w), w.withdrawn_at
    FROM ops.withdrawn_erasures AS w
    UNION ALL
    SELECT 'hold', to_jsonb(h), coalesce(h.released_at, h.placed_at)
    FROM ops.legal_holds AS h
) AS again
ORDER BY again.made_at;

-- name: forget_shipped_generations
-- In the same transaction: no generation is recorded there yet. A few hundred rows.
DELETE FROM ops.shipped_generations;

-- name: forget_audit_records
-- In the same transaction: none of the audit log's is recorded there either. A few rows a year.
UPDATE ops.audit_archive
SET recorded_at = NULL
WHERE recorded_at IS NOT NULL;

-- name: archived_months
-- The months that the ledger knows. A few rows a year.
SELECT DISTINCT month
FROM ops.archive
ORDER BY month;

-- name: keys_without_segment
-- Keys of a month whose segment is in no table: neither among the archived nor among the late rows. Index
-- ranges of both and hash joins; of a purged month there are few. ACCESS SHARE.
SELECT k.id
FROM content_segment_keys AS k
WHERE k.created_at >= {lower}
  AND k.created_at < {upper}
  AND NOT EXISTS (
      SELECT
      FROM archived_content_segments AS s
      WHERE s.id = k.id
        AND s.created_at >= {lower}
        AND s.created_at < {upper}
  )
  AND NOT EXISTS (
      SELECT
      FROM content_segments AS late
      WHERE late.id = k.id
        AND late.created_at >= {lower}
        AND late.created_at < {upper}
  )
ORDER BY k.id;
