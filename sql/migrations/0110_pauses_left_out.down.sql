-- As 0109 left them.

CREATE OR REPLACE FUNCTION content_of_thread(thread uuid) RETURNS SETOF content_segments
    LANGUAGE plpgsql STABLE ROWS 20
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET constraint_exclusion = off
    SET jit = off
    AS $$
DECLARE
    ids uuid[];
    moments timestamptz[];
    firsts timestamptz[];
    lasts timestamptz[];
    since timestamptz;
    until timestamptz;
    recent timestamptz;
    older timestamptz[];
    o1 timestamptz; o2 timestamptz; o3 timestamptz; o4 timestamptz;
    o5 timestamptz; o6 timestamptz; o7 timestamptz; o8 timestamptz;
    o9 timestamptz; o10 timestamptz; o11 timestamptz; o12 timestamptz;
    o13 timestamptz; o14 timestamptz; o15 timestamptz; o16 timestamptz;
    o17 timestamptz; o18 timestamptz; o19 timestamptz; o20 timestamptz;
    o21 timestamptz; o22 timestamptz; o23 timestamptz; o24 timestamptz;
    o25 timestamptz; o26 timestamptz; o27 timestamptz; o28 timestamptz;
    o29 timestamptz; o30 timestamptz; o31 timestamptz; o32 timestamptz;
    o33 timestamptz; o34 timestamptz; o35 timestamptz; o36 timestamptz;
    o37 timestamptz; o38 timestamptz; o39 timestamptz; o40 timestamptz;
    o41 timestamptz; o42 timestamptz; o43 timestamptz; o44 timestamptz;
    o45 timestamptz; o46 timestamptz; o47 timestamptz; o48 timestamptz;
BEGIN
    SELECT array_agg(k.id), array_agg(k.created_at), min(k.created_at), max(k.created_at)
    INTO ids, moments, since, until
    FROM public.content_segment_keys AS k
    WHERE k.thread_id = thread;
    IF ids IS NULL THEN
        RETURN;
    END IF;
    SELECT array_agg(month.first_moment), array_agg(month.last_moment)
    INTO firsts, lasts
    FROM (
        SELECT min(k.moment) AS first_moment, max(k.moment) AS last_moment
        FROM unnest(moments) AS k (moment)
        GROUP BY date_trunc('month', k.moment, 'UTC')
    ) AS month;
    IF cardinality(firsts) <= 3 THEN
        RETURN QUERY EXECUTE $query$
        SELECT cs.*
        FROM public.content_segments AS cs
        WHERE cs.thread_id = $1
          AND (
               cs.created_at BETWEEN $2[1] AND $3[1]
               OR cs.created_at BETWEEN $2[2] AND $3[2]
               OR cs.created_at BETWEEN $2[3] AND $3[3]
          )
          AND (cs.id = ANY ($4)) IS TRUE
          AND cs.is_deleted IS NOT TRUE
    $query$ USING thread, firsts, lasts, ids;
        RETURN;
    END IF;
    recent := until - interval '30 days';
    older := ARRAY(SELECT k.moment FROM unnest(moments) AS k (moment) WHERE k.moment < recent);
    IF cardinality(older) <= 48 AND cardinality(ids) <= 500 THEN
        SELECT
            older[1], older[2], older[3], older[4], older[5], older[6], older[7], older[8],
            older[9], older[10], older[11], older[12], older[13], older[14], older[15], older[16],
            older[17], older[18], older[19], older[20], older[21], older[22], older[23], older[24],
            older[25], older[26], older[27], older[28], older[29], older[30], older[31], older[32],
            older[33], older[34], older[35], older[36], older[37], older[38], older[39], older[40],
            older[41], older[42], older[43], older[44], older[45], older[46], older[47], older[48]
        INTO
            o1, o2, o3, o4, o5, o6, o7, o8,
            o9, o10, o11, o12, o13, o14, o15, o16,
            o17, o18, o19, o20, o21, o22, o23, o24,
            o25, o26, o27, o28, o29, o30, o31, o32,
            o33, o34, o35, o36, o37, o38, o39, o40,
            o41, o42, o43, o44, o45, o46, o47, o48;
        RETURN QUERY
        SELECT cs.*
        FROM public.content_segments AS cs
        WHERE cs.thread_id = thread
          AND (
               cs.created_at BETWEEN recent AND until
               OR cs.created_at = ANY (ARRAY[
               o1, o2, o3, o4, o5, o6, o7, o8,
               o9, o10, o11, o12, o13, o14, o15, o16,
               o17, o18, o19, o20, o21, o22, o23, o24,
               o25, o26, o27, o28, o29, o30, o31, o32,
               o33, o34, o35, o36, o37, o38, o39, o40,
               o41, o42, o43, o44, o45, o46, o47, o48
               ])
          )
          AND (cs.id = ANY (ids)) IS TRUE
          AND cs.is_deleted IS NOT TRUE;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT cs.*
    FROM (
        SELECT
            array_agg(k.id) AS ids,
            min(k.moment) AS first_moment,
            max(k.moment) AS last_moment
        FROM unnest(ids, moments) AS k (id, moment)
        GROUP BY date_trunc('month', k.moment, 'UTC')
    ) AS month
    CROSS JOIN LATERAL (
        SELECT s.*
        FROM public.content_segments AS s
        WHERE s.id = ANY (month.ids)
          AND (
               s.created_at BETWEEN month.first_moment AND month.last_moment
               OR s.created_at = month.last_moment
          )
          AND (s.created_at BETWEEN since AND until OR s.created_at = until)
          AND s.is_deleted IS NOT TRUE
        OFFSET 0
    ) AS cs;
END
$$;

CREATE OR REPLACE FUNCTION newest_content(segments uuid[], most integer) RETURNS SETOF content_segments
    LANGUAGE plpgsql STABLE ROWS 50
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET constraint_exclusion = off
    SET jit = off
    AS $$
DECLARE
    ids uuid[];
    moments timestamptz[];
    since timestamptz;
    until timestamptz;
    within_a_year boolean;
    part record;
    shown bigint := 0;
    more bigint;
BEGIN
    SELECT array_agg(k.id), array_agg(k.created_at), min(k.created_at), max(k.created_at)
    INTO ids, moments, since, until
    FROM public.content_segment_keys AS k
    WHERE k.id = ANY (segments);
    within_a_year := until < since + interval '1 year';
    IF within_a_year OR (
        SELECT count(*)
        FROM (SELECT DISTINCT date_bin('30 days', k.moment, 'epoch') FROM unnest(moments) AS k (moment)) AS few
    ) <= 24 THEN
        FOR part IN
            SELECT
                array_agg(k.id) AS ids,
                array_agg(k.moment) AS moments,
                min(k.moment) AS since,
                max(k.moment) AS until
            FROM unnest(ids, moments) AS k (id, moment)
            GROUP BY CASE WHEN NOT within_a_year THEN date_trunc('year', k.moment, 'UTC') END
            ORDER BY max(k.moment) DESC
        LOOP
            RETURN QUERY EXECUTE $query$
        SELECT cs.*
        FROM (
            SELECT
                array_agg(k.id) AS ids,
                min(k.moment) AS first_moment,
                max(k.moment) AS last_moment
            FROM unnest($1, $2) AS k (id, moment)
            GROUP BY date_trunc('month', k.moment, 'UTC')
        ) AS month
        CROSS JOIN LATERAL (
            SELECT s.*
            FROM public.content_segments AS s
            WHERE s.id = ANY (month.ids)
              AND (
                   s.created_at BETWEEN month.first_moment AND month.last_moment
                   OR s.created_at = month.last_moment
              )
              AND (s.created_at BETWEEN $3 AND $4 OR s.created_at = $4)
              AND s.is_deleted IS NOT TRUE
            OFFSET 0
        ) AS cs
        ORDER BY cs.created_at DESC, cs.id
        LIMIT $5
        $query$ USING part.ids, part.moments, part.since, part.until, most - shown;
            GET DIAGNOSTICS more = ROW_COUNT;
            shown := shown + more;
            EXIT WHEN shown >= most;
        END LOOP;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT cs.*
    FROM (
        SELECT
            array_agg(k.id) AS ids,
            min(k.moment) AS first_moment,
            max(k.moment) AS last_moment
        FROM unnest(ids, moments) AS k (id, moment)
        GROUP BY date_trunc('month', k.moment, 'UTC')
    ) AS month
    CROSS JOIN LATERAL (
        SELECT s.*
        FROM public.content_segments AS s
        WHERE s.id = ANY (month.ids)
          AND (
               s.created_at BETWEEN month.first_moment AND month.last_moment
               OR s.created_at = month.last_moment
          )
          AND (s.created_at BETWEEN since AND until OR s.created_at = until)
          AND s.is_deleted IS NOT TRUE
        OFFSET 0
    ) AS cs
    ORDER BY cs.created_at DESC, cs.id
    LIMIT most;
END
$$;

CREATE OR REPLACE FUNCTION content_sizes(threads uuid[]) RETURNS TABLE (
        thread_id uuid,
        user_id uuid,
        created_at timestamptz,
        text_bytes integer,
        transcript_bytes integer,
        photo_count integer,
        audio_count integer
    )
    LANGUAGE plpgsql STABLE ROWS 1000
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET constraint_exclusion = off
    SET jit = off
    AS $$
DECLARE
    ids uuid[];
    moments timestamptz[];
    since timestamptz;
    until timestamptz;
    within_a_year boolean;
    part record;
BEGIN
    SELECT array_agg(k.id), array_agg(k.created_at), min(k.created_at), max(k.created_at)
    INTO ids, moments, since, until
    FROM public.content_segment_keys AS k
    WHERE k.thread_id = ANY (threads);
    within_a_year := until < since + interval '1 year';
    IF within_a_year OR (
        SELECT count(*)
        FROM (SELECT DISTINCT date_bin('30 days', k.moment, 'epoch') FROM unnest(moments) AS k (moment)) AS few
    ) <= 24 THEN
        FOR part IN
            SELECT
                array_agg(k.id) AS ids,
                array_agg(k.moment) AS moments,
                min(k.moment) AS since,
                max(k.moment) AS until
            FROM unnest(ids, moments) AS k (id, moment)
            GROUP BY CASE WHEN NOT within_a_year THEN date_trunc('year', k.moment, 'UTC') END
        LOOP
            RETURN QUERY EXECUTE $query$
        SELECT
            cs.thread_id,
            cs.user_id,
            cs.created_at,
            coalesce(octet_length(cs.text_content), 0),
            coalesce(octet_length(cs.audio_transcript), 0),
            coalesce(cardinality(cs.photo_urls), 0),
            (cs.audio_url IS NOT NULL)::integer
        FROM (
            SELECT
                array_agg(k.id) AS ids,
                min(k.moment) AS first_moment,
                max(k.moment) AS last_moment
            FROM unnest($1, $2) AS k (id, moment)
            GROUP BY date_trunc('month', k.moment, 'UTC')
        ) AS month
        CROSS JOIN LATERAL (
            SELECT
                s.thread_id,
                s.user_id,
                s.created_at,
                s.text_content,
                s.audio_transcript,
                s.photo_urls,
                s.audio_url
            FROM public.content_segments AS s
            WHERE s.id = ANY (month.ids)
              AND (
                   s.created_at BETWEEN month.first_moment AND month.last_moment
                   OR s.created_at = month.last_moment
              )
              AND (s.created_at BETWEEN $3 AND $4 OR s.created_at = $4)
              AND s.is_deleted IS NOT TRUE
            OFFSET 0
        ) AS cs
        $query$ USING part.ids, part.moments, part.since, part.until;
        END LOOP;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT
        cs.thread_id,
        cs.user_id,
        cs.created_at,
        coalesce(octet_length(cs.text_content), 0),
        coalesce(octet_length(cs.audio_transcript), 0),
        coalesce(cardinality(cs.photo_urls), 0),
        (cs.audio_url IS NOT NULL)::integer
    FROM (
        SELECT
            array_agg(k.id) AS ids,
            min(k.moment) AS first_moment,
            max(k.moment) AS last_moment
        FROM unnest(ids, moments) AS k (id, moment)
        GROUP BY date_trunc('month', k.moment, 'UTC')
    ) AS month
    CROSS JOIN LATERAL (
        SELECT
            s.thread_id,
            s.user_id,
            s.created_at,
            s.text_content,
            s.audio_transcript,
            s.photo_urls,
            s.audio_url
        FROM public.content_segments AS s
        WHERE s.id = ANY (month.ids)
          AND (
               s.created_at BETWEEN month.first_moment AND month.last_moment
               OR s.created_at = month.last_moment
          )
          AND (s.created_at BETWEEN since AND until OR s.created_at = until)
          AND s.is_deleted IS NOT TRUE
        OFFSET 0
    ) AS cs;
END
$$;
