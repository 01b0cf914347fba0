-- What a request plans grows no more with the months that there are, and less of it is planned anew.
--
-- The policies' functions were planned with each statement that came to them, several times a request:
-- a third of the processor time of a thread's load. In plpgsql a session plans each of them once. They
-- say what they said, and run with the rights of the tables' owner as before. The generic plan: the
-- roles are few, and a plan for each list of them would be no other.
--
-- What a helper reads within a year was planned with each call, and what reached further by a plan over
-- all months. Whoever writes today in what was begun years ago reaches further, and each ANALYZE of the
-- month that is written to made each session plan over all months anew: longer the more months there
-- are. What has segments in few months is now planned with each call, however far it reaches, for these
-- months alone:
-- - A thread's few segments by their moments: the server leaves out the other months before it opens any.
-- - A family's months, or those of a search, year by year: a year in which nothing was said is left out.
-- Only what has segments in more than 24 months uses a plan over all months: to plan so many with each
-- call takes longer than to open what such a plan needs.
--
-- constraint_exclusion is off in the helpers: it reads the check constraints of each month, which none
-- of their conditions can contradict. The months are left out by their bounds all the same.
--
-- What 0093 says of the text of their statements still holds.

CREATE OR REPLACE FUNCTION member_family_ids(VARIADIC roles text[]) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
    ROWS 5
    AS $$
BEGIN
    RETURN QUERY
    SELECT fm.family_id
    FROM public.family_members AS fm
    WHERE fm.user_id = public.current_user_id()
      AND fm.is_active
      AND fm.role = ANY (roles)
    UNION
    SELECT f.id
    FROM public.families AS f
    WHERE f.owner_id = public.current_user_id();
END
$$;

CREATE OR REPLACE FUNCTION member_book_ids(VARIADIC roles text[]) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
    ROWS 25
    AS $$
BEGIN
    RETURN QUERY
    SELECT mb.id
    FROM public.memory_books AS mb
    WHERE mb.family_id IN (SELECT public.member_family_ids(VARIADIC roles));
END
$$;

CREATE OR REPLACE FUNCTION member_thread_ids(VARIADIC roles text[]) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
    ROWS 500
    AS $$
BEGIN
    RETURN QUERY
    SELECT t.id
    FROM public.threads AS t
    JOIN public.memory_books AS mb ON mb.id = t.memory_book_id
    WHERE mb.family_id IN (SELECT public.member_family_ids(VARIADIC roles));
END
$$;

CREATE OR REPLACE FUNCTION fellow_user_ids() RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
    ROWS 40
    AS $$
BEGIN
    RETURN QUERY
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
    );
END
$$;

CREATE OR REPLACE FUNCTION content_of_thread(thread uuid) RETURNS SETOF content_segments
    LANGUAGE plpgsql STABLE ROWS 20
    SET search_path = pg_catalog, public, pg_temp
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
BEGIN
    SELECT array_agg(k.id), array_agg(k.created_at), min(k.created_at), max(k.created_at)
    INTO ids, moments, since, until
    FROM public.content_segment_keys AS k
    WHERE k.thread_id = thread;
    IF coalesce(cardinality(moments), 0) <= 24 THEN
        RETURN QUERY EXECUTE $query$
        SELECT cs.*
        FROM public.content_segments AS cs
        WHERE cs.thread_id = $1
          AND cs.created_at = ANY ($2)
          AND (cs.id = ANY ($3)) IS TRUE
          AND cs.is_deleted IS NOT TRUE
    $query$ USING thread, moments, ids;
        RETURN;
    END IF;
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
              AND (s.created_at > month.first_moment OR s.created_at = month.first_moment)
              AND (s.created_at < month.last_moment OR s.created_at = month.last_moment)
              AND (s.created_at > $3 OR s.created_at = $3)
              AND (s.created_at < $4 OR s.created_at = $4)
            OFFSET 0
        ) AS cs
        WHERE cs.is_deleted IS NOT TRUE
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
