-- name: generations
-- Every generation of one month. Primary key lookup.
SELECT *
FROM {ledger}
WHERE month = %(month)s
ORDER BY generation;

-- name: generations_in_states
-- Every generation in some states: a few rows a year, some 50 kB each.
SELECT *
FROM {ledger}
WHERE state = ANY (%(states)s)
ORDER BY month, generation;

-- name: latest_generations
-- The newest generation of every month: a few rows a year, some 50 kB each.
SELECT DISTINCT ON (month) *
FROM ops.archive
ORDER BY month, generation DESC;

-- name: months_by_state
-- Months that have a generation in some states. A few rows a year.
SELECT DISTINCT month
FROM {ledger}
WHERE state = ANY (%(states)s)
ORDER BY month;

-- name: months_with_leftovers
-- Months with versions that could not be removed. A few rows a year.
SELECT DISTINCT month
FROM {ledger}
WHERE leftovers <> '[]'
ORDER BY month;

-- name: begin_generation
-- The primary key lets only one of two concurrent runs open the same generation.
INSERT INTO {ledger} (month, generation, state, origin, run_id)
SELECT %(month)s, coalesce(max(generation), 0) + 1, 'archiving', %(origin)s, %(run_id)s
FROM {ledger}
WHERE month = %(month)s;

-- name: update_generation
-- One row, matched by the state that the caller has seen: of two runs, one matches nothing.
UPDATE {ledger}
SET {assignments}
WHERE month = {month}
  AND generation = {generation}
  AND state = {seen_state}
RETURNING *;

-- name: one_snapshot_at_once
-- Until the end of the transaction, an instant later. Waits for other exports that take theirs.
SELECT pg_advisory_xact_lock(hashtextextended('ft-ops archive sequence', 0));

-- name: next_sequence
-- Behind every number that the ledgers know: reads a few rows a year.
SELECT ops.next_archive_sequence();

-- name: row_to_record
-- One row as the bucket records it. Primary key lookup.
SELECT a.updated_at, to_jsonb(a) - ARRAY['relation', 'relation_name', 'recorded_at', 'asked_days'] AS row
FROM {ledger} AS a
WHERE a.month = %(month)s
  AND a.generation = %(generation)s;

-- name: date_row_to_record
-- One row, its content as it was: its trigger gives it a moment behind the one before, and the record
-- of it a key of its own. By primary key.
UPDATE {ledger} AS a
SET state = state
WHERE a.month = %(month)s
  AND a.generation = %(generation)s;
