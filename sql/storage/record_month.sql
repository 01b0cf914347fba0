-- One month's sums, with the signals under which they were computed. Reads that month's part of
-- the rollup.
INSERT INTO ops.storage_months AS m (
    month, segments, text_bytes, transcript_bytes, recordings, photos, recording_bytes,
    photo_bytes, unsized, signature, media_added, media_altered, recomputed_at
)
SELECT
    %(month)s,
    coalesce(sum(segments), 0),
    coalesce(sum(text_bytes), 0),
    coalesce(sum(transcript_bytes), 0),
    coalesce(sum(recordings), 0),
    coalesce(sum(photos), 0),
    coalesce(sum(recording_bytes), 0),
    coalesce(sum(photo_bytes), 0),
    coalesce(sum(unsized), 0),
    %(signature)s::text,
    %(media_added)s,
    %(media_altered)s,
    %(taken_at)s
FROM ops.storage_rollup
WHERE month = %(month)s
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
RETURNING m.segments, m.bytes;
