-- What an archive can't hold can't be written any more: arrays with two dimensions or a first subscript
-- that is not 1 (Parquet has lists), dates after the year 9999 (beyond some of them its microseconds
-- end, and most languages' dates), and rows whose text form would come near the server's limit of a
-- gigabyte, so that nothing could digest them. One such row stopped the archive of its whole month,
-- for ever.
--
-- Rows of that kind that are there already are named in the error below, before anything is locked, and
-- nothing is changed: what they ought to be is for a person to say. The constraints hold for new rows
-- at once; the next migration proves them for all.
DO $$
DECLARE
    too_late constant text := quote_literal('10000-01-01 00:00:00+00');
    rule record;
    relation regclass;
    found bigint;
    examples text;
    problems text[] := '{}';
    attempt integer := 0;
BEGIN
    CREATE TEMPORARY TABLE storable ON COMMIT DROP AS
    SELECT r.on_table, r.called, r.rule, r.order_no
    FROM (VALUES
        (
            'content_segments', 'content_segments_photo_urls_shape',
            'cardinality(photo_urls) = 0 '
            'OR array_ndims(photo_urls) = 1 AND array_lower(photo_urls, 1) = 1', 1
        ),
        (
            'content_segments', 'content_segments_dates',
            format('created_at < %1$s AND edited_at < %1$s AND deleted_at < %1$s', too_late), 2
        ),
        (
            'content_segments', 'content_segments_size',
            'coalesce(octet_length(text_content), 0)::bigint '
            '+ coalesce(octet_length(audio_transcript), 0) + coalesce(octet_length(audio_url), 0) '
            '+ coalesce(pg_column_size(photo_urls), 0) <= 134217728 '
            'AND (pg_column_size(metadata) <= 8192 OR octet_length(metadata::text) <= 33554432)', 3
        ),
        (
            'photo_narrations', 'photo_narrations_dates',
            format('created_at < %1$s AND updated_at < %1$s', too_late), 4
        ),
        (
            'photo_narrations', 'photo_narrations_size',
            'octet_length(narration_text) <= 134217728 '
            'AND (pg_column_size(metadata) <= 8192 OR octet_length(metadata::text) <= 33554432)', 5
        ),
        ('content_tags', 'content_tags_dates', format('created_at < %s', too_late), 6),
        ('content_links', 'content_links_dates', format('created_at < %s', too_late), 7),
        (
            'content_links', 'content_links_size',
            'pg_column_size(metadata) <= 8192 OR octet_length(metadata::text) <= 33554432', 8
        )
    ) AS r (on_table, called, rule, order_no);

    -- A month that is archived, or stands alone, has what its table has while it is hot.
    CREATE TEMPORARY TABLE storable_in ON COMMIT DROP AS
    SELECT s.on_table::regclass AS relation, s.called, s.rule, s.order_no
    FROM storable AS s
    UNION ALL
    SELECT t.relation, s.called, s.rule, s.order_no
    FROM storable AS s
    CROSS JOIN (
        SELECT 'archived_content_segments'::regclass AS relation
        UNION ALL
        SELECT m.relation FROM ops.months_alone() AS m
    ) AS t
    WHERE s.on_table = 'content_segments';

    FOR rule IN SELECT * FROM storable_in AS s ORDER BY s.relation::text, s.order_no LOOP
        EXECUTE format(
            'SELECT count(*), string_agg(id::text, '', '') FILTER (WHERE number <= 5) '
            'FROM (SELECT id, row_number() OVER () AS number FROM %s WHERE NOT (%s)) AS bad',
            rule.relation, rule.rule
        ) INTO found, examples;
        IF found > 0 THEN
            problems := problems || format(
                '%s of %s break %s: %s%s', found, rule.relation, rule.called, examples,
                CASE WHEN found > 5 THEN ', …' ELSE '' END
            );
        END IF;
    END LOOP;
    IF problems <> '{}' THEN
        RAISE EXCEPTION 'rows that no archive can hold: %', array_to_string(problems, '; ')
            USING ERRCODE = 'check_violation',
                  HINT = 'Correct them, then run it again; nothing was changed. An array becomes a '
                      'plain list by SET photo_urls = ARRAY(SELECT unnest(photo_urls)).';
    END IF;

    -- ACCESS EXCLUSIVE on a table and its partitions for an instant: never waited for longer than the
    -- application may notice, rather tried again.
    FOR rule IN SELECT * FROM storable_in AS s ORDER BY s.relation::text, s.order_no LOOP
        LOOP
            BEGIN
                PERFORM set_config('lock_timeout', '80ms', true);
                EXECUTE format(
                    'ALTER TABLE %s ADD CONSTRAINT %I CHECK (%s) NOT VALID',
                    rule.relation, rule.called, rule.rule
                );
                EXIT;
            EXCEPTION WHEN lock_not_available THEN
                attempt := attempt + 1;
                IF attempt >= 200 THEN
                    RAISE;
                END IF;
                PERFORM pg_sleep(0.25);
            END;
        END LOOP;
    END LOOP;
END
$$;
