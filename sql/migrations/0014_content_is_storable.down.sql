-- What was proven counts as unproven again.
DO $$
DECLARE
    proven record;
BEGIN
    FOR proven IN
        SELECT
            con.conrelid::regclass AS relation,
            con.conname AS called,
            pg_get_constraintdef(con.oid) AS definition
        FROM pg_constraint AS con
        WHERE con.conname IN (
                'content_segments_photo_urls_shape', 'content_segments_dates',
                'content_segments_size', 'photo_narrations_dates', 'photo_narrations_size',
                'content_tags_dates', 'content_links_dates', 'content_links_size'
            )
          AND con.contype = 'c'
          AND con.convalidated
          AND NOT EXISTS (SELECT FROM pg_inherits AS link WHERE link.inhrelid = con.conrelid)
        ORDER BY con.conrelid::regclass::text, con.conname
    LOOP
        EXECUTE format(
            'ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s NOT VALID',
            proven.relation, proven.called, proven.called, proven.definition
        );
    END LOOP;
END
$$;
