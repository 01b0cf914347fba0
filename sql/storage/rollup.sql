-- name: forget_changes
-- The marks that this snapshot sees, and whose months it has counted. A mark that commits later
-- stays for the next run. Removed row by row: TRUNCATE would take those too.
DELETE FROM ops.storage_changes;

-- name: count_by_estimate
-- Segments and bytes from {lower} to {upper}, by month, book and user; of all users, or of those
-- in the array {users} if it is not NULL. 1,048,576 bytes a
-- recording and 524,288 a photo are the specification's estimates; NULL counts as nothing, and
-- so does a deleted segment.
-- OFFSET 0 keeps the lengths below the join: without it the join carries whole texts, at twice
-- the time. Reads the partitions and threads once; ACCESS SHARE.
SELECT
    s.month,
    t.memory_book_id,
    s.user_id,
    count(*) AS segments,
    sum(s.text_bytes) AS text_bytes,
    sum(s.transcript_bytes) AS transcript_bytes,
    sum(s.recordings) AS recordings,
    sum(s.photos) AS photos,
    sum(s.recordings) * 1048576 AS recording_bytes,
    sum(s.photos) * 524288 AS photo_bytes,
    sum(s.recordings + s.photos) AS unsized
FROM (
    SELECT
        date_trunc('month', cs.created_at AT TIME ZONE 'UTC')::date AS month,
        cs.thread_id,
        cs.user_id,
        coalesce(octet_length(cs.text_content), 0) AS text_bytes,
        coalesce(octet_length(cs.audio_transcript), 0) AS transcript_bytes,
        (cs.audio_url IS NOT NULL)::integer AS recordings,
        coalesce(cardinality(cs.photo_urls), 0) AS photos
    FROM content_segments AS cs
    WHERE cs.created_at >= {lower}
      AND cs.created_at < {upper}
      AND ({users}::uuid[] IS NULL OR cs.user_id = ANY ({users}::uuid[]))
      AND cs.is_deleted IS NOT TRUE
    OFFSET 0
) AS s
JOIN threads AS t ON t.id = s.thread_id
GROUP BY s.month, t.memory_book_id, s.user_id;

-- name: count_by_inventory
-- The same as count_by_estimate, with the real size of every recording and photo whose object
-- the inventory knows; the others count by the estimate, and are `unsized`.
-- One probe of ops.media_objects a recording and photo; ACCESS SHARE.
SELECT
    s.month,
    t.memory_book_id,
    s.user_id,
    count(*) AS segments,
    sum(s.text_bytes) AS text_bytes,
    sum(s.transcript_bytes) AS transcript_bytes,
    sum(s.recordings) AS recordings,
    sum(s.photos) AS photos,
    sum(s.recording_bytes)::bigint AS recording_bytes,
    sum(s.photo_bytes)::bigint AS photo_bytes,
    sum(s.unsized)::bigint AS unsized
FROM (
    SELECT
        date_trunc('month', cs.created_at AT TIME ZONE 'UTC')::date AS month,
        cs.thread_id,
        cs.user_id,
        coalesce(octet_length(cs.text_content), 0) AS text_bytes,
        coalesce(octet_length(cs.audio_transcript), 0) AS transcript_bytes,
        (cs.audio_url IS NOT NULL)::integer AS recordings,
        coalesce(cardinality(cs.photo_urls), 0) AS photos,
        CASE WHEN cs.audio_url IS NOT NULL THEN coalesce(recording.bytes, 1048576) ELSE 0 END
            AS recording_bytes,
        photos.bytes AS photo_bytes,
        photos.unsized + (cs.audio_url IS NOT NULL AND recording.key IS NULL)::integer AS unsized
    FROM content_segments AS cs
    LEFT JOIN ops.media_objects AS recording ON recording.key = ops.media_key(cs.audio_url)
    CROSS JOIN LATERAL (
        SELECT
            coalesce(sum(coalesce(photo.bytes, 524288)), 0) AS bytes,
            count(*) FILTER (WHERE photo.key IS NULL) AS unsized
        FROM unnest(cs.photo_urls) AS urls (url)
        LEFT JOIN ops.media_objects AS photo ON photo.key = ops.media_key(urls.url)
    ) AS photos
    WHERE cs.created_at >= {lower}
      AND cs.created_at < {upper}
      AND ({users}::uuid[] IS NULL OR cs.user_id = ANY ({users}::uuid[]))
      AND cs.is_deleted IS NOT TRUE
    OFFSET 0
) AS s
JOIN threads AS t ON t.id = s.thread_id
GROUP BY s.month, t.memory_book_id, s.user_id;

-- name: count_nothing
-- What is left in content_segments of a month that has left it: no row, in the shape of a count.
SELECT
    r.month, r.memory_book_id, r.user_id, r.segments, r.text_bytes, r.transcript_bytes,
    r.recordings, r.photos, r.recording_bytes, r.photo_bytes, r.unsized
FROM ops.storage_rollup AS r
WHERE false;

-- name: differences
-- Where a fresh count and the rollup differ, for months from {first} to {last}, of
-- all users or of those in {users}: the counted values, NULL where nothing is
-- left, and what was recorded before. Usually few rows, so that what is unchanged is neither
-- sent nor written.
COPY (
    SELECT
        month,
        memory_book_id,
        user_id,
        counted.segments,
        counted.text_bytes,
        counted.transcript_bytes,
        counted.recordings,
        counted.photos,
        counted.recording_bytes,
        counted.photo_bytes,
        counted.unsized,
        counted.text_bytes + counted.transcript_bytes + counted.recording_bytes
            + counted.photo_bytes AS bytes,
        recorded.segments AS old_segments,
        recorded.bytes AS old_bytes
    FROM ({counted}) AS counted
    FULL JOIN (
        SELECT *
        FROM ops.storage_rollup
        WHERE month BETWEEN {first} AND {last}
          AND ({users}::uuid[] IS NULL OR user_id = ANY ({users}::uuid[]))
    ) AS recorded USING (month, memory_book_id, user_id)
    WHERE (
        counted.segments, counted.text_bytes, counted.transcript_bytes, counted.recordings,
        counted.photos, counted.recording_bytes, counted.photo_bytes, counted.unsized
    ) IS DISTINCT FROM (
        recorded.segments, recorded.text_bytes, recorded.transcript_bytes, recorded.recordings,
        recorded.photos, recorded.recording_bytes, recorded.photo_bytes, recorded.unsized
    )
) TO STDOUT (FORMAT BINARY);

-- name: empty_differences
-- Before the next count. A temporary table: nobody else has it.
TRUNCATE pg_temp.storage_differences;

-- name: copy_differences
-- As a reader sent them.
COPY pg_temp.storage_differences FROM STDIN (FORMAT BINARY);

-- name: count_differences
-- How many rows of each month differ.
SELECT month, count(*) FROM pg_temp.storage_differences GROUP BY month ORDER BY month;

-- name: record_months
-- Each month's sums, with the signals under which they were computed. Reads each of these months'
-- part of the rollup by itself: without LATERAL it would be all of the rollup, at any length.
INSERT INTO ops.storage_months AS m (
    month, segments, text_bytes, transcript_bytes, recordings, photos, recording_bytes,
    photo_bytes, unsized, signature, media_added, media_altered, recomputed_at
)
SELECT
    now.month,
    sums.segments,
    sums.text_bytes,
    sums.transcript_bytes,
    sums.recordings,
    sums.photos,
    sums.recording_bytes,
    sums.photo_bytes,
    sums.unsized,
    now.signature,
    %(media_added)s,
    %(media_altered)s,
    %(taken_at)s
FROM unnest(%(months)s::date[], %(signatures)s::text[]) AS now (month, signature)
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(r.segments), 0) AS segments,
        coalesce(sum(r.text_bytes), 0) AS text_bytes,
        coalesce(sum(r.transcript_bytes), 0) AS transcript_bytes,
        coalesce(sum(r.recordings), 0) AS recordings,
        coalesce(sum(r.photos), 0) AS photos,
        coalesce(sum(r.recording_bytes), 0) AS recording_bytes,
        coalesce(sum(r.photo_bytes), 0) AS photo_bytes,
        coalesce(sum(r.unsized), 0) AS unsized
    FROM ops.storage_rollup AS r
    WHERE r.month = now.month
) AS sums
ON CONFLICT (month) DO UPDATE SET
    segments = excluded.segments,
    text_bytes = excluded.text_bytes,
    transcript_bytes = excluded.transcript_bytes,
    recordings = excluded.recordings,
    photos = excluded.photos,
    recording_bytes = excluded.recording_bytes,
    photo_bytes = excluded.photo_bytes,
    unsized = excluded.unsized,
    signature = excluded.signature,
    media_added = excluded.media_added,
    media_altered = excluded.media_altered,
    recomputed_at = excluded.recomputed_at
RETURNING m.month, m.segments, m.bytes;

-- name: forget_month
-- A month that has left content_segments.
DELETE FROM ops.storage_months WHERE month = %(month)s;

-- name: unexplained_differences
-- Rows that differed although no signal named them: not in a month that had to be counted whole,
-- and not of a user who was marked. The largest first, and how many there are in all.
SELECT
    d.month::text,
    d.memory_book_id::text,
    d.user_id::text,
    coalesce(d.old_bytes, 0) AS recorded_bytes,
    coalesce(d.bytes, 0) AS counted_bytes,
    count(*) OVER () AS disagreements
FROM pg_temp.storage_differences AS d
WHERE d.month <> ALL (%(whole)s::date[])
  AND NOT EXISTS (
      SELECT
      FROM unnest(%(months)s::date[], %(users)s::uuid[]) AS marked (month, user_id)
      WHERE (marked.month, marked.user_id) = (d.month, d.user_id)
  )
ORDER BY
    abs(coalesce(d.bytes, 0) - coalesce(d.old_bytes, 0)) DESC,
    d.month, d.memory_book_id, d.user_id
LIMIT %(most)s;

-- name: create_corrections
-- Where corrections of sums wait to be written. Dropped with the transaction.
CREATE TEMPORARY TABLE IF NOT EXISTS storage_corrections (
    owner_id uuid NOT NULL,
    segments bigint NOT NULL,
    bytes bigint NOT NULL
) ON COMMIT DROP;

-- name: empty_corrections
-- Before the other kind of sums.
TRUNCATE pg_temp.storage_corrections;

-- name: copy_corrections
-- As a reader sent them.
COPY pg_temp.storage_corrections FROM STDIN (FORMAT BINARY);

-- name: add_to_books
-- Each book's sum over all months, moved by what the rollup moved.
INSERT INTO ops.storage_books AS s (memory_book_id, segments, bytes)
SELECT
    memory_book_id,
    sum(coalesce(segments, 0) - coalesce(old_segments, 0)),
    sum(coalesce(bytes, 0) - coalesce(old_bytes, 0))
FROM pg_temp.storage_differences
GROUP BY memory_book_id
ON CONFLICT (memory_book_id) DO UPDATE SET
    segments = s.segments + excluded.segments,
    bytes = s.bytes + excluded.bytes;

-- name: add_to_users
-- Each user's sum over all months, moved by what the rollup moved.
INSERT INTO ops.storage_users AS s (user_id, segments, bytes)
SELECT
    user_id,
    sum(coalesce(segments, 0) - coalesce(old_segments, 0)),
    sum(coalesce(bytes, 0) - coalesce(old_bytes, 0))
FROM pg_temp.storage_differences
GROUP BY user_id
ON CONFLICT (user_id) DO UPDATE SET
    segments = s.segments + excluded.segments,
    bytes = s.bytes + excluded.bytes;

-- name: correct_books
-- Moves sums by what they were found to be off.
INSERT INTO ops.storage_books AS s (memory_book_id, segments, bytes)
SELECT owner_id, segments, bytes
FROM pg_temp.storage_corrections
ON CONFLICT (memory_book_id) DO UPDATE SET
    segments = s.segments + excluded.segments,
    bytes = s.bytes + excluded.bytes;

-- name: correct_users
-- Moves sums by what they were found to be off.
INSERT INTO ops.storage_users AS s (user_id, segments, bytes)
SELECT owner_id, segments, bytes
FROM pg_temp.storage_corrections
ON CONFLICT (user_id) DO UPDATE SET
    segments = s.segments + excluded.segments,
    bytes = s.bytes + excluded.bytes;

-- name: forget_books
-- Sums of books that have no content left.
DELETE FROM ops.storage_books WHERE segments = 0;

-- name: forget_families
-- Sums of families that are gone.
DELETE FROM ops.storage_families AS t
WHERE NOT EXISTS (SELECT FROM families AS f WHERE f.id = t.family_id);

-- name: forget_users
-- Sums of users that have no content left.
DELETE FROM ops.storage_users WHERE segments = 0;

-- name: write_counted
-- Rollup rows that are new or have changed, in the order of the primary key.
INSERT INTO ops.storage_rollup AS r (
    month, memory_book_id, user_id, segments, text_bytes, transcript_bytes, recordings, photos,
    recording_bytes, photo_bytes, unsized
)
SELECT
    month, memory_book_id, user_id, segments, text_bytes, transcript_bytes, recordings, photos,
    recording_bytes, photo_bytes, unsized
FROM pg_temp.storage_differences
WHERE segments IS NOT NULL
ORDER BY month, user_id, memory_book_id
ON CONFLICT (month, user_id, memory_book_id) DO UPDATE SET
    segments = excluded.segments,
    text_bytes = excluded.text_bytes,
    transcript_bytes = excluded.transcript_bytes,
    recordings = excluded.recordings,
    photos = excluded.photos,
    recording_bytes = excluded.recording_bytes,
    photo_bytes = excluded.photo_bytes,
    unsized = excluded.unsized;
