-- Proves for every row what the previous migration asks of new ones. SHARE UPDATE EXCLUSIVE on one
-- table after the other while it is read: readers and writers go on. A row that came in between is
-- named.
DO $$
DECLARE
    unproven record;
    examples text;
BEGIN
    FOR unproven IN
        SELECT con.conrelid::regclass AS relation, con.conname AS called, con.oid
        FROM pg_constraint AS con
        WHERE con.conname IN (
                'content_segments_photo_urls_shape', 'content_segments_dates',
                'content_segments_size', 'photo_narrations_dates', 'photo_narrations_size',
                'content_tags_dates', 'content_links_dates', 'content_links_size'
            )
          AND con.contype = 'c'
          AND NOT con.convalidated
          AND NOT EXISTS (SELECT FROM pg_inherits AS link WHERE link.inhrelid = con.conrelid)
        ORDER BY con.conrelid::regclass::text, con.conname
    LOOP
        BEGIN
            EXECUTE format(
                'ALTER TABLE %s VALIDATE CONSTRAINT %I', unproven.relation, unproven.called
            );
        EXCEPTION WHEN check_violation THEN
            EXECUTE format(
                'SELECT string_agg(id::text, '', '') '
                'FROM (SELECT id FROM %s WHERE NOT (%s) LIMIT 5) AS bad',
                unproven.relation,
                (SELECT pg_get_expr(con.conbin, con.conrelid) FROM pg_constraint AS con
                 WHERE con.oid = unproven.oid)
            ) INTO examples;
            RAISE EXCEPTION 'rows of % that no archive can hold break %: %',
                unproven.relation, unproven.called, examples
                USING ERRCODE = 'check_violation',
                      HINT = 'Correct them, then run it again; nothing was changed.';
        END;
    END LOOP;
END
$$;
