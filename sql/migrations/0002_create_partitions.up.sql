-- The first months, 2024-01 to three months ahead of today, so that a new database takes writes
-- at once. Every later month is the work of the job `create_partitions`.
-- Bounds carry their offset: a bare date would follow the session's time zone.
DO $$
DECLARE
    first_month constant timestamp := timestamp '2024-01-01';
    last_month constant timestamp := date_trunc('month', now() AT TIME ZONE 'UTC')
        + interval '3 months';
    parent text;
    month timestamp;
BEGIN
    FOREACH parent IN ARRAY ARRAY['content_segments', 'audit_log'] LOOP
        FOR month IN SELECT generate_series(first_month, last_month, interval '1 month') LOOP
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                parent || to_char(month, '_YYYY_MM'),
                parent,
                to_char(month, 'YYYY-MM-DD 00:00:00+00'),
                to_char(month + interval '1 month', 'YYYY-MM-DD 00:00:00+00')
            );
        END LOOP;
    END LOOP;
END
$$;

-- While a table that stands alone is examined before it is attached again, nobody writes to it.
CREATE FUNCTION refuse_write_during_repair() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% is being examined before it is attached again', TG_TABLE_NAME
        USING ERRCODE = 'object_in_use',
              HINT = 'Write to the partitioned table, not to one of its months.';
END
$$;
