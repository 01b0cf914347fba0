-- One month's segments, spread evenly over it: the first at its first instant, the last a
-- microsecond before its end, because those are the rows that a wrong bound loses. Every trigger
-- fires, which is more than half of some 70 µs a row.
INSERT INTO content_segments (
    id, thread_id, user_id, content_type, sequence_number, text_content, audio_url,
    audio_duration_seconds, audio_transcript, photo_urls, is_edited, edited_at, is_deleted,
    deleted_at, created_at, view_count, reaction_count, metadata
)
SELECT
    md5(%(seed)s::text || ':segment:' || d.number)::uuid,
    d.thread_id,
    author.user_id,
    d.content_type,
    d.sequence_number,
    CASE d.content_type
        WHEN 'text' THEN
            CASE d.oddity
                WHEN 0 THEN NULL
                WHEN 1 THEN ''
                -- A long story, out of line in its own TOAST chunks.
                WHEN 2 THEN (
                    SELECT string_agg(p.opening || ' ' || p.closing, ' ' ORDER BY p.number)
                    FROM sample_passages AS p
                    WHERE p.number BETWEEN d.passage AND d.passage + 19
                )
                ELSE one.opening || ' ' || other.closing
            END
        WHEN 'photo' THEN CASE WHEN (d.j & 3) = 0 THEN other.caption END
        WHEN 'mixed' THEN one.opening
    END,
    CASE
        WHEN d.has_audio
            THEN 'https://media.familytales.example/audio/'
                || md5(%(seed)s::text || ':audio:' || d.number) || '.m4a'
    END,
    CASE WHEN d.has_audio THEN 5 + (d.j >> 2 & 127)::integer END,
    CASE
        WHEN d.has_audio AND (d.j >> 9 & 3) <> 0
            THEN one.closing || ' ' || other.opening || ' ' || other.closing
    END,
    CASE
        WHEN d.oddity = 3 THEN '{}'::text[]
        WHEN d.has_photos THEN ARRAY(
            SELECT
                'https://media.familytales.example/photos/'
                || md5(%(seed)s::text || ':photo:' || d.number || ':' || photo) || '.jpg'
            FROM generate_series(1, 1 + mod(d.j >> 11 & 65535, 5)) AS photo
        )
    END,
    CASE WHEN d.oddity = 4 THEN NULL ELSE d.is_edited END,
    CASE WHEN d.is_edited THEN d.created_at + (d.last_instant - d.created_at) * 0.3 END,
    CASE WHEN d.oddity = 5 THEN NULL ELSE d.is_deleted END,
    CASE WHEN d.is_deleted THEN d.created_at + (d.last_instant - d.created_at) * 0.6 END,
    d.created_at,
    -- Most are seen a few times, some often.
    CASE WHEN d.oddity <> 6 THEN ((d.j >> 27 & 1023) * (d.j >> 27 & 1023) >> 12)::integer END,
    CASE WHEN d.oddity <> 6 THEN (d.j >> 37 & 7)::integer END,
    CASE
        WHEN d.oddity = 7 THEN NULL
        ELSE jsonb_build_object(
            'device_type', (ARRAY['iPhone 15', 'Pixel 8', 'iPad', NULL])[1 + (d.j >> 40 & 3)],
            'location', CASE
                WHEN (d.j >> 42 & 1) = 0 THEN jsonb_build_object(
                    'lat', round(((d.j >> 43 & 65535) - 20000)::numeric / 1000, 3),
                    'lon', round((d.h >> 43 & 65535)::numeric / 1000, 3)
                )
            END,
            'weather', (ARRAY['sun', 'rain', 'snow', NULL])[1 + (d.j >> 59 & 3)],
            'ai_insights', jsonb_build_object(
                'sentiment', round((d.j >> 20 & 127)::numeric / 128, 2),
                'topics', jsonb_build_array((ARRAY['family', 'food', 'home', 'war'])[1 + (d.j & 3)])
            )
        )
    END
FROM (
    SELECT
        n.number,
        s.thread_id,
        s.family,
        (s.turn + s.weight * (n.number / %(slots)s::bigint))::integer AS sequence_number,
        n.h,
        n.j,
        n.last_instant,
        CASE n.position
            WHEN 0 THEN n.month_start
            WHEN %(segments)s::bigint - 1 THEN n.last_instant
            ELSE n.month_start + interval '1 microsecond' * (
                (n.position * n.length + mod(n.h >> 1 & 4611686018427387903, n.length))
                / %(segments)s::bigint
            )
        END AS created_at,
        (n.h >> 7 & 1023) AS author_draw,
        (n.h >> 17 & 8191)::integer AS passage,
        (n.h >> 30 & 8191)::integer AS other_passage,
        (n.h >> 55 & 511)::integer AS oddity,
        CASE WHEN (n.h & 127) < 77 THEN 'text'
             WHEN (n.h & 127) < 102 THEN 'photo'
             WHEN (n.h & 127) < 118 THEN 'audio'
             ELSE 'mixed' END AS content_type,
        (n.h & 127) BETWEEN 102 AND 121 AS has_audio,
        (n.h & 127) BETWEEN 77 AND 101 OR (n.h & 127) >= 119 AS has_photos,
        (n.j >> 48 & 31) < 2 AS is_edited,
        (n.j >> 53 & 31) < 1 AS is_deleted
    FROM (
        SELECT
            position,
            position + %(preceding)s::bigint AS number,
            hashint8extended(position + %(preceding)s::bigint, %(seed)s::bigint + 11) AS h,
            hashint8extended(position + %(preceding)s::bigint, %(seed)s::bigint + 12) AS j,
            %(month_start)s::timestamptz AS month_start,
            %(month_end)s::timestamptz - interval '1 microsecond' AS last_instant,
            (
                extract(epoch FROM %(month_end)s::timestamptz - %(month_start)s::timestamptz)
                * 1000000
            )::bigint AS length
        FROM generate_series(0, %(segments)s::bigint - 1) AS position
    ) AS n
    JOIN sample_slots AS s ON s.slot = mod(n.number, %(slots)s::bigint)
) AS d
-- Seats 0 to 6 write, the lower ones more; seat 7 is the viewer's.
JOIN sample_seats AS author
    ON author.family = d.family AND author.seat = (7 * d.author_draw * d.author_draw >> 20)
JOIN sample_passages AS one ON one.number = d.passage
JOIN sample_passages AS other ON other.number = d.other_passage
