-- A helper that reads segments by their keys probed one month a segment, and each probe reset the
-- scans of all months that there are; a session opened all of their indexes with each call. Now the
-- keys are read first, and gathered by month in UTC: one probe a month, and only the months from
-- the oldest to the newest segment are opened.
--
-- What keeps it fast, and must stay:
-- - "a > b OR a = b" is "a >= b". Written with one operator each, two bounds look to the planner
--   like a narrow range, and it would read a month by created_at instead of by id.
-- - "since" and "until" are parameters of the statement: the server leaves out the months outside
--   them before it opens any. The bounds of each month choose among the others.
-- - OFFSET 0 keeps the planner from reading the months first and the keys for each of their rows.
-- - enable_seqscan, enable_bitmapscan and jit are off: the plan is made once a session, maybe while
--   the months are empty, and must not become one that reads or compiles every month.
--
-- A plan over all months is made anew whenever one of its tables is analyzed: every session then plans
-- for a time that grows with the months, all of them at once. So what lies within a year is planned
-- with each call, for its own months alone: that takes about as long as opening what a plan over all
-- months needs. Only what reaches further uses such a plan: planning many months with each call would
-- take longer than reading them. The text that is planned with each call is fixed, and all that varies
-- is a parameter of it.
--
-- A segment that has no key is shown by neither way. IS TRUE keeps the planner from probing each
-- month for each key: a thread's index finds its segments at once.
--
-- They run with the rights of whoever calls them, as before: row level security holds in them, for
-- the keys and for the segments. ACCESS SHARE on all months, as any query over content_segments.

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
