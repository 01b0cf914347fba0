-- The function as it was.
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
    since timestamptz;
    until timestamptz;
    recent timestamptz;
    older timestamptz[];
    few_months boolean;
BEGIN
    SELECT
        array_agg(k.id),
        array_agg(k.created_at),
        min(k.created_at),
        max(k.created_at),
        count(DISTINCT date_bin(interval '30 days', k.created_at, timestamptz 'epoch')) <= 24
    INTO ids, moments, since, until, few_months
    FROM public.content_segment_keys AS k
    WHERE k.thread_id = thread;
    recent := until - interval '30 days';
    older := ARRAY(SELECT k.moment FROM unnest(moments) AS k (moment) WHERE k.moment < recent);
    IF cardinality(older) > 240 AND until < since + interval '1 year' THEN
        recent := since;
        older := '{}';
    END IF;
    IF few_months AND cardinality(older) <= 240 THEN
        RETURN QUERY EXECUTE $query$
        SELECT cs.*
        FROM public.content_segments AS cs
        WHERE cs.thread_id = $1
          AND (cs.created_at = ANY ($2) OR cs.created_at BETWEEN $3 AND $4)
          AND (cs.id = ANY ($5)) IS TRUE
          AND cs.is_deleted IS NOT TRUE
    $query$ USING thread, older, recent, until, ids;
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
