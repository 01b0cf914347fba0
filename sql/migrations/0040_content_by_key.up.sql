-- A query that names no month makes the server plan, lock and probe every month that there is: at
-- seven years most of a screen's time. The registry of keys knows the month of each segment. These
-- functions read segments by way of it: one probe a segment, however many months there are.
--
-- They run with the rights of whoever calls them, so row level security holds in them. They are
-- plpgsql with a generic plan, because a session then plans over all months once and not with each
-- call; such a plan takes some 1 MB of a session's memory at 84 months. MATERIALIZED, because the
-- planner would else read each month from end to end when it expects many keys.
-- Each takes ACCESS SHARE, on all months, as any query over content_segments does.

CREATE FUNCTION content_of_thread(thread uuid) RETURNS SETOF content_segments
    LANGUAGE plpgsql STABLE ROWS 20
    SET search_path = pg_catalog, public, pg_temp
    SET plan_cache_mode = force_generic_plan
    AS $$
BEGIN
    RETURN QUERY
    WITH keys AS MATERIALIZED (
        SELECT k.id, k.created_at
        FROM public.content_segment_keys AS k
        WHERE k.thread_id = thread
    )
    SELECT cs.*
    FROM keys
    JOIN public.content_segments AS cs ON cs.id = keys.id AND cs.created_at = keys.created_at
    WHERE cs.is_deleted IS NOT TRUE;
END
$$;
COMMENT ON FUNCTION content_of_thread(uuid) IS
    'The segments of a thread that are not deleted, in no order.';

CREATE FUNCTION newest_content(segments uuid[], most integer) RETURNS SETOF content_segments
    LANGUAGE plpgsql STABLE ROWS 50
    SET search_path = pg_catalog, public, pg_temp
    SET plan_cache_mode = force_generic_plan
    AS $$
BEGIN
    RETURN QUERY
    WITH keys AS MATERIALIZED (
        SELECT k.id, k.created_at
        FROM public.content_segment_keys AS k
        WHERE k.id = ANY (segments)
    )
    SELECT cs.*
    FROM keys
    JOIN public.content_segments AS cs ON cs.id = keys.id AND cs.created_at = keys.created_at
    WHERE cs.is_deleted IS NOT TRUE
    ORDER BY cs.created_at DESC, cs.id
    LIMIT most;
END
$$;
COMMENT ON FUNCTION newest_content(uuid[], integer) IS
    'Of the segments with these ids that are not deleted, the newest, at most so many.';

CREATE FUNCTION content_sizes(threads uuid[]) RETURNS TABLE (
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
    AS $$
BEGIN
    RETURN QUERY
    WITH keys AS MATERIALIZED (
        SELECT k.id, k.created_at
        FROM public.content_segment_keys AS k
        WHERE k.thread_id = ANY (threads)
    )
    SELECT
        cs.thread_id,
        cs.user_id,
        cs.created_at,
        coalesce(octet_length(cs.text_content), 0),
        coalesce(octet_length(cs.audio_transcript), 0),
        coalesce(cardinality(cs.photo_urls), 0),
        (cs.audio_url IS NOT NULL)::integer
    FROM keys
    JOIN public.content_segments AS cs ON cs.id = keys.id AND cs.created_at = keys.created_at
    WHERE cs.is_deleted IS NOT TRUE;
END
$$;
COMMENT ON FUNCTION content_sizes(uuid[]) IS
    'What each segment of these threads that is not deleted holds: octets, photos and recordings.';

REVOKE EXECUTE ON FUNCTION
    content_of_thread(uuid), newest_content(uuid[], integer), content_sizes(uuid[])
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    content_of_thread(uuid), newest_content(uuid[], integer), content_sizes(uuid[])
    TO ft_app, ft_readonly;
