-- A thread's months are opened, and few others, by a plan that is made once a session.
--
-- content_of_thread planned with each call for a thread in up to 24 months: at seven years of them that
-- took longer than to read it, and the more so the more segments it had. And a thread whose segments are
-- all of one stretch of 30 days, as most talks are, was planned for every month that there is: the server
-- leaves out no month by "created_at = ANY ('{}') OR ...", where the array is empty.
--
-- - What is in up to three months is planned with each call, by three ranges. That takes about as long as
--   reading it, and no ANALYZE makes each session plan over all months anew. A range that is NULL finds
--   nothing, and the server leaves out the months by the others.
-- - What has up to 48 segments before its last 30 days, over however many months, is read by one plan over
--   all months. It names their moments one by one: by an array whose elements are written out the server
--   leaves out all other months before it opens any; by one array as a parameter it leaves out none.
--   The plan compares each segment with all ids of the thread: of more than 500 that would take longest.
-- - What has more is read month by month, by the plan that such threads had before.
--
-- The keys decide as before: a segment that has none is not shown. What 0093 says of the text of the
-- statements holds.
--
-- Locks: of this function alone, for a moment.

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
        RETURN QUERY
        SELECT cs.*
        FROM public.content_segments AS cs
        WHERE cs.thread_id = thread
          AND (
               cs.created_at = ANY (ARRAY[
               older[1], older[2], older[3], older[4], older[5], older[6],
               older[7], older[8], older[9], older[10], older[11], older[12],
               older[13], older[14], older[15], older[16], older[17], older[18],
               older[19], older[20], older[21], older[22], older[23], older[24],
               older[25], older[26], older[27], older[28], older[29], older[30],
               older[31], older[32], older[33], older[34], older[35], older[36],
               older[37], older[38], older[39], older[40], older[41], older[42],
               older[43], older[44], older[45], older[46], older[47], older[48]
               ])
               OR cs.created_at BETWEEN recent AND until
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
          AND (s.created_at > month.first_moment OR s.created_at = month.first_moment)
          AND (s.created_at < month.last_moment OR s.created_at = month.last_moment)
          AND (s.created_at > since OR s.created_at = since)
          AND (s.created_at < until OR s.created_at = until)
        OFFSET 0
    ) AS cs
    WHERE cs.is_deleted IS NOT TRUE;
END
$$;
