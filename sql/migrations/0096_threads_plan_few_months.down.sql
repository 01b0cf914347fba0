-- The functions as they were.
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

ALTER FUNCTION newest_content(uuid[], integer)
    SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION content_sizes(uuid[])
    SET search_path = pg_catalog, public, pg_temp;
