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
