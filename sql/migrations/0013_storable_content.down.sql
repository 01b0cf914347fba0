DO $$
DECLARE
    alone regclass;
BEGIN
    FOR alone IN SELECT relation FROM ops.months_alone() LOOP
        EXECUTE format(
            'ALTER TABLE %s DROP CONSTRAINT IF EXISTS content_segments_photo_urls_shape, '
            'DROP CONSTRAINT IF EXISTS content_segments_dates, '
            'DROP CONSTRAINT IF EXISTS content_segments_size',
            alone
        );
    END LOOP;
END
$$;
ALTER TABLE content_links
    DROP CONSTRAINT content_links_size,
    DROP CONSTRAINT content_links_dates;
ALTER TABLE content_tags
    DROP CONSTRAINT content_tags_dates;
ALTER TABLE photo_narrations
    DROP CONSTRAINT photo_narrations_size,
    DROP CONSTRAINT photo_narrations_dates;
ALTER TABLE archived_content_segments
    DROP CONSTRAINT content_segments_size,
    DROP CONSTRAINT content_segments_dates,
    DROP CONSTRAINT content_segments_photo_urls_shape;
ALTER TABLE content_segments
    DROP CONSTRAINT content_segments_size,
    DROP CONSTRAINT content_segments_dates,
    DROP CONSTRAINT content_segments_photo_urls_shape;
