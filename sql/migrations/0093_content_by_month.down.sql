CREATE OR REPLACE FUNCTION content_of_thread(thread uuid) RETURNS SETOF content_segments
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

CREATE OR REPLACE FUNCTION newest_content(segments uuid[], most integer) RETURNS SETOF content_segments
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
