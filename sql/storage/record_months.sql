-- Each month's sums, with the signals under which they were computed. Reads these months' parts
-- of the rollup.
INSERT INTO ops.storage_months AS m (
    month, segments, text_bytes, transcript_bytes, recordings, photos, recording_bytes,
    photo_bytes, unsized, signature, media_added, media_altered, recomputed_at
)
SELECT
    now.month,
    coalesce(sum(r.segments), 0),
    coalesce(sum(r.text_bytes), 0),
    coalesce(sum(r.transcript_bytes), 0),
    coalesce(sum(r.recordings), 0),
    coalesce(sum(r.photos), 0),
    coalesce(sum(r.recording_bytes), 0),
    coalesce(sum(r.photo_bytes), 0),
    coalesce(sum(r.unsized), 0),
    now.signature,
    %(media_added)s,
    %(media_altered)s,
    %(taken_at)s
FROM unnest(%(months)s::date[], %(signatures)s::text[]) AS now (month, signature)
LEFT JOIN ops.storage_rollup AS r ON r.month = now.month
GROUP BY now.month, now.signature
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
