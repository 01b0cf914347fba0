-- The function as it was.
CREATE OR REPLACE FUNCTION ops.in_short_waits(work text) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    longest constant integer := 80;
    attempts constant integer := 40;
    asked constant integer := (
        SELECT s.setting::integer FROM pg_catalog.pg_settings AS s WHERE s.name = 'lock_timeout'
    );
BEGIN
    IF asked BETWEEN 1 AND longest THEN
        EXECUTE work;
        RETURN;
    END IF;
    FOR attempt IN 1..attempts LOOP
        BEGIN
            PERFORM set_config('lock_timeout', longest || 'ms', true);
            EXECUTE work;
            PERFORM set_config('lock_timeout', asked || 'ms', true);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            -- Its end has put lock_timeout back, and given up what the attempt has locked.
            PERFORM pg_sleep(least(0.02 * attempt, 0.3));
        END;
    END LOOP;
    RAISE EXCEPTION 'transactions that have changed content did not end within % attempts', attempts
        USING ERRCODE = 'lock_not_available',
              HINT = 'Wait for them, or end them, and try again: nothing was changed. '
                     'Who they are: pg_locks, relation ops.standing_holds.';
END
$$;
