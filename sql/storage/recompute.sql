-- name: wrong_books
-- How far each book's sum is from its months, where it is. No row unless something was written
-- past the recomputation. Reads the whole rollup.
COPY (
    SELECT
        memory_book_id,
        coalesce(r.segments, 0)::bigint - coalesce(s.segments, 0),
        coalesce(r.bytes, 0)::bigint - coalesce(s.bytes, 0)
    FROM (
        SELECT memory_book_id, sum(segments) AS segments, sum(bytes) AS bytes
        FROM ops.storage_rollup
        GROUP BY memory_book_id
    ) AS r
    FULL JOIN ops.storage_books AS s USING (memory_book_id)
    WHERE (r.segments, r.bytes) IS DISTINCT FROM (s.segments, s.bytes)
) TO STDOUT (FORMAT BINARY);

-- name: wrong_users
-- How far each user's sum is from its months, where it is. No row unless something was written
-- past the recomputation. Reads the whole rollup.
COPY (
    SELECT
        user_id,
        coalesce(r.segments, 0)::bigint - coalesce(s.segments, 0),
        coalesce(r.bytes, 0)::bigint - coalesce(s.bytes, 0)
    FROM (
        SELECT user_id, sum(segments) AS segments, sum(bytes) AS bytes
        FROM ops.storage_rollup
        GROUP BY user_id
    ) AS r
    FULL JOIN ops.storage_users AS s USING (user_id)
    WHERE (r.segments, r.bytes) IS DISTINCT FROM (s.segments, s.bytes)
) TO STDOUT (FORMAT BINARY);

-- name: create_differences
-- Where rows that a count found different wait to be written. Dropped with the transaction.
CREATE TEMPORARY TABLE storage_differences (
    month date NOT NULL,
    memory_book_id uuid NOT NULL,
    user_id uuid NOT NULL,
    segments bigint,
    text_bytes bigint,
    transcript_bytes bigint,
    recordings bigint,
    photos bigint,
    recording_bytes bigint,
    photo_bytes bigint,
    unsized bigint,
    bytes bigint,
    old_segments bigint,
    old_bytes bigint
) ON COMMIT DROP;

-- name: record_recomputation
-- One row a run; its newest names the snapshot of all totals.
INSERT INTO ops.storage_recomputations (
    kind, snapshot, lsn, taken_at, months, recomputed, disagreements, examples, run_id
)
VALUES (
    %(kind)s, %(snapshot)s, %(lsn)s, %(taken_at)s, %(months)s, %(recomputed)s,
    %(disagreements)s, %(examples)s, %(run_id)s
);
