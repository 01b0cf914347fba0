-- The functions as they were.
CREATE OR REPLACE FUNCTION member_family_ids(VARIADIC roles text[]) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    ROWS 5
    AS $$
    SELECT fm.family_id
    FROM public.family_members AS fm
    WHERE fm.user_id = public.current_user_id()
      AND fm.is_active
      AND fm.role = ANY (roles)
    UNION
    SELECT f.id
    FROM public.families AS f
    WHERE f.owner_id = public.current_user_id()
$$;

CREATE OR REPLACE FUNCTION member_book_ids(VARIADIC roles text[]) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    ROWS 25
    AS $$
    SELECT mb.id
    FROM public.memory_books AS mb
    WHERE mb.family_id IN (SELECT public.member_family_ids(VARIADIC roles))
$$;

CREATE OR REPLACE FUNCTION member_thread_ids(VARIADIC roles text[]) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    ROWS 500
    AS $$
    SELECT t.id
    FROM public.threads AS t
    JOIN public.memory_books AS mb ON mb.id = t.memory_book_id
    WHERE mb.family_id IN (SELECT public.member_family_ids(VARIADIC roles))
$$;

CREATE OR REPLACE FUNCTION fellow_user_ids() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    ROWS 40
    AS $$
    SELECT fm.user_id
    FROM public.family_members AS fm
    WHERE fm.family_id IN (
        SELECT public.member_family_ids('owner', 'admin', 'editor', 'member', 'viewer')
    )
    UNION
    SELECT f.owner_id
    FROM public.families AS f
    WHERE f.id IN (
        SELECT public.member_family_ids('owner', 'admin', 'editor', 'member', 'viewer')
    )
$$;

CREATE OR REPLACE FUNCTION content_of_thread(thread uuid) RETURNS SETOF content_segments
    LANGUAGE plpgsql STABLE ROWS 20
    SET search_path = pg_catalog, public, pg_temp
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET jit = off
    AS $$
DECLARE
    ids uuid[];
    moments timestamptz[];
    since timestamptz;
    until timestamptz;
BEGIN
    SELECT array_agg(k.id), array_agg(k.created_at), min(k.created_at), max(k.created_at)
    INTO ids, moments, since, until
    FROM public.content_segment_keys AS k
    WHERE k.thread_id = thread;
    IF until < since + interval '1 year' THEN
        RETURN QUERY EXECUTE $query$
        SELECT cs.*
        FROM public.content_segments AS cs
        WHERE cs.thread_id = $1
          AND cs.created_at BETWEEN $2 AND $3
          AND (cs.id = ANY ($4)) IS TRUE
          AND cs.is_deleted IS NOT TRUE
    $query$ USING thread, since, until, ids;
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
          AND (s.created_at > month.first_moment OR s.created_at = month.first_moment)
          AND (s.created_at < month.last_moment OR s.created_at = month.last_moment)
          AND (s.created_at > since OR s.created_at = since)
          AND (s.created_at < until OR s.created_at = until)
        OFFSET 0
    ) AS cs
    WHERE cs.is_deleted IS NOT TRUE;
END
$$;

CREATE OR REPLACE FUNCTION newest_content(segments uuid[], most integer) RETURNS SETOF content_segments
    LANGUAGE plpgsql STABLE ROWS 50
    SET search_path = pg_catalog, public, pg_temp
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET jit = off
    AS $$
DECLARE
    ids uuid[];
    moments timestamptz[];
    since timestamptz;
    until timestamptz;
BEGIN
    SELECT array_agg(k.id), array_agg(k.created_at), min(k.created_at), max(k.created_at)
    INTO ids, moments, since, until
    FROM public.content_segment_keys AS k
    WHERE k.id = ANY (segments);
    IF until < since + interval '1 year' THEN
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
              AND (s.created_at > month.first_moment OR s.created_at = month.first_moment)
              AND (s.created_at < month.last_moment OR s.created_at = month.last_moment)
              AND (s.created_at > $3 OR s.created_at = $3)
              AND (s.created_at < $4 OR s.created_at = $4)
            OFFSET 0
        ) AS cs
        WHERE cs.is_deleted IS NOT TRUE
        ORDER BY cs.created_at DESC, cs.id
        LIMIT $5
    $query$ USING ids, moments, since, until, most;
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
          AND (s.created_at > month.first_moment OR s.created_at = month.first_moment)
          AND (s.created_at < month.last_moment OR s.created_at = month.last_moment)
          AND (s.created_at > since OR s.created_at = since)
          AND (s.created_at < until OR s.created_at = until)
        OFFSET 0
    ) AS cs
    WHERE cs.is_deleted IS NOT TRUE
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
    SET search_path = pg_catalog, public, pg_temp
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET jit = off
    AS $$
DECLARE
    ids uuid[];
    moments timestamptz[];
    since timestamptz;
    until timestamptz;
BEGIN
    SELECT array_agg(k.id), array_agg(k.created_at), min(k.created_at), max(k.created_at)
    INTO ids, moments, since, until
    FROM public.content_segment_keys AS k
    WHERE k.thread_id = ANY (threads);
    IF until < since + interval '1 year' THEN
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
            SELECT s.*
            FROM public.content_segments AS s
            WHERE s.id = ANY (month.ids)
              AND (s.created_at > month.first_moment OR s.created_at = month.first_moment)
              AND (s.created_at < month.last_moment OR s.created_at = month.last_moment)
              AND (s.created_at > $3 OR s.created_at = $3)
              AND (s.created_at < $4 OR s.created_at = $4)
            OFFSET 0
        ) AS cs
        WHERE cs.is_deleted IS NOT TRUE
    $query$ USING ids, moments, since, until;
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
        SELECT s.*
        FROM public.content_segments AS s
        WHERE s.id = ANY (month.ids)
          AND (s.created_at > month.first_moment OR s.created_at = month.first_moment)
          AND (s.created_at < month.last_moment OR s.created_at = month.last_moment)
          AND (s.created_at > since OR s.created_at = since)
          AND (s.created_at < until OR s.created_at = until)
        OFFSET 0
    ) AS cs
    WHERE cs.is_deleted IS NOT TRUE;
END
$$;
