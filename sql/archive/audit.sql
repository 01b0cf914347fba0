-- name: record_audit_bucket
-- One row: the bucket has it as it was at that moment.
UPDATE ops.audit_archive
SET recorded_at = %(updated_at)s
WHERE month = %(month)s
  AND generation = %(generation)s;

-- name: unrecorded_audit_generations
-- Proven generations whose last change is not in the bucket: a few rows a year, some 50 kB each.
SELECT
    a.month,
    a.generation,
    a.updated_at,
    to_jsonb(a) - ARRAY['relation', 'relation_name', 'recorded_at', 'asked_days'] AS row
FROM ops.audit_archive AS a
WHERE a.proven_at IS NOT NULL
  AND a.state IN ('proven', 'frozen', 'purged', 'superseded')
  AND a.recorded_at IS DISTINCT FROM a.updated_at
ORDER BY a.month, a.generation;

-- name: adopt_audit_generation
-- One row, as it was recorded, in place of one that is unproven.
INSERT INTO ops.audit_archive
SELECT (jsonb_populate_record(NULL::ops.audit_archive, %(row)s)).*;

-- name: forget_audit_generation
-- One row, in the transaction that writes it anew.
DELETE FROM ops.audit_archive
WHERE month = %(month)s
  AND generation = %(generation)s
  AND proven_at IS NULL;

-- name: supersede_audit_generation
-- One row: the bucket says that another generation has replaced it.
UPDATE ops.audit_archive
SET state = 'superseded',
    objects = %(objects)s,
    leftovers = %(leftovers)s,
    replaced_by = %(replaced_by)s,
    superseded_at = %(superseded_at)s
WHERE month = %(month)s
  AND generation = %(generation)s;

-- name: audit_months_away
-- Months whose rows have left audit_log for the archive, or are just leaving it. A few rows a year.
SELECT DISTINCT month
FROM ops.audit_archive
WHERE proven_at IS NOT NULL
  AND state IN ('purging', 'purged');

-- name: audit_moments
-- When each proven generation changed last, and which change the bucket should have: a few rows a year.
SELECT month, generation, updated_at, recorded_at
FROM ops.audit_archive
WHERE proven_at IS NOT NULL
ORDER BY month, generation;

-- name: audit_replacement_is_recorded
-- Whether the bucket has a generation's row as it is, and that of the one which replaces it as of its
-- freeze or later. By primary keys.
SELECT EXISTS (
    SELECT
    FROM ops.audit_archive AS a
    WHERE a.month = %(month)s
      AND a.generation = %(generation)s
      AND a.recorded_at = a.updated_at
) AND EXISTS (
    SELECT
    FROM ops.audit_archive AS a
    WHERE a.month = %(month)s
      AND a.generation = %(by)s
      AND a.recorded_at >= a.frozen_at
) AS recorded;

-- name: forget_audit_record
-- One row: the next run writes its record again.
UPDATE ops.audit_archive
SET recorded_at = NULL
WHERE month = %(month)s
  AND generation = %(generation)s;

-- name: ask_audit_month
-- One row: its month is to come back for so many days.
UPDATE ops.audit_archive
SET asked_days = %(days)s
WHERE month = %(month)s
  AND generation = %(generation)s;

-- name: asked_audit_months
-- Months that are to come back, with the days that they are to stay. A few rows.
SELECT month, max(asked_days) AS days
FROM ops.audit_archive
WHERE asked_days IS NOT NULL
GROUP BY month
ORDER BY month;

-- name: answer_audit_month
-- Nothing of the month is asked for any more. A few rows.
UPDATE ops.audit_archive
SET asked_days = NULL
WHERE month = %(month)s
  AND asked_days IS NOT NULL;

-- name: keep_audit_month
-- One row: its rows are in the database, and stay until then.
UPDATE ops.audit_archive
SET state = CASE WHEN state = 'purged' THEN 'frozen' ELSE state END,
    relation = %(relation)s,
    relation_name = %(relation_name)s,
    kept_until = %(until)s
WHERE month = %(month)s
  AND generation = %(generation)s;

-- name: audit_kept_until
-- Until when a month that was brought back stays. Primary key lookup.
SELECT kept_until
FROM ops.audit_archive
WHERE month = %(month)s
  AND generation = %(generation)s;

-- name: insert_audit_rows
-- What is there already stays as it is. Row locks on new rows only.
INSERT INTO {table} ({columns})
SELECT {values}
FROM {rows} AS c
ON CONFLICT DO NOTHING;

-- name: no_hold_meanwhile
-- Whoever places or releases a hold waits until this transaction ends: some milliseconds.
SELECT changes
FROM ops.hold_changes
FOR SHARE;

-- name: holds_on_audit_rows
-- Standing holds on a user, or on a family by its members, of whom a month of the audit log has rows;
-- those of a book, a thread or a segment are about content, which such a row may name. Two probes of
-- the month's indexes for each held user and one scan of it for what its rows name. ACCESS SHARE.
SELECT h.id
FROM ops.legal_holds AS h
WHERE h.released_at IS NULL
  AND (
      EXISTS (SELECT FROM {rows} AS a WHERE a.user_id = h.user_id)
      OR EXISTS (
          SELECT
          FROM family_members AS m
          JOIN {rows} AS a ON a.user_id = m.user_id
          WHERE m.family_id = h.family_id
      )
      OR EXISTS (
          SELECT
          FROM families AS f
          JOIN {rows} AS a ON a.user_id = f.owner_id
          WHERE f.id = h.family_id
      )
      OR EXISTS (
          SELECT
          FROM {rows} AS a
          WHERE a.record_id IN (h.family_id, h.book_id, h.thread_id, h.user_id)
      )
      OR EXISTS (
          SELECT
          FROM ops.held_subjects AS held
          JOIN {rows} AS a ON a.record_id = held.id
          WHERE held.hold_id = h.id
      )
  );
