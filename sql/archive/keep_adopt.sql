-- name: generation_moments
-- When each row of a month was changed last. Primary key lookup.
SELECT generation, updated_at
FROM ops.archive
WHERE month = %(month)s;

-- name: ledger_columns
-- The ledger's columns today: a record of an earlier version has fewer.
SELECT attname::text
FROM pg_attribute
WHERE attrelid = 'ops.archive'::regclass
  AND attnum > 0
  AND NOT attisdropped;

-- name: forget_generation
-- One row, in the transaction that writes it anew.
DELETE FROM ops.archive
WHERE month = %(month)s
  AND generation = %(generation)s;

-- name: insert_adopted
-- One row, as it was recorded.
INSERT INTO ops.archive ({columns})
SELECT {columns}
FROM jsonb_populate_record(NULL::ops.archive, %(row)s);

-- name: touch_adopted
-- Its trigger sets updated_at.
UPDATE ops.archive
SET purged_at = CASE WHEN state = 'purged' THEN coalesce(purged_at, clock_timestamp()) END
WHERE month = %(month)s
  AND generation = %(generation)s;

-- name: create_identities
-- A table of its own for a moment; what a dead run left goes first.
CREATE UNLOGGED TABLE {identities} (
    segment_id uuid,
    thread_id uuid,
    sequence_number integer
);

-- name: adopt_identities
-- Of threads that still are: what was erased needs no number.
INSERT INTO ops.purged_segments (id, thread_id, sequence_number)
SELECT i.segment_id, i.thread_id, i.sequence_number
FROM {identities} AS i
WHERE EXISTS (SELECT FROM public.threads AS t WHERE t.id = i.thread_id)
  AND NOT EXISTS (SELECT FROM public.content_segment_keys AS k WHERE k.id = i.segment_id)
  AND NOT EXISTS (
      SELECT FROM ops.erasures AS e WHERE e.kind = 'segment' AND e.id = i.segment_id
  )
ON CONFLICT (id) DO NOTHING;

-- name: shipped_generations
-- What the bucket should have of the ledger: a few rows a year.
SELECT month, generation, updated_at
FROM ops.shipped_generations
ORDER BY month, generation;

-- name: forget_record
-- One row: the next shipment writes it again.
DELETE FROM ops.shipped_generations
WHERE month = %(month)s
  AND generation = %(generation)s;
