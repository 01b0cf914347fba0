-- Whoever changes content, and then places or releases a hold in the same transaction, waits for others that have
-- changed content, too, while these may wait for what he has changed: since each of his waits is short, the server
-- found no deadlock, and nobody went on for 13 s. Now he gives up as soon as somebody waits for him.
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
            -- Its end has put lock_timeout back, and given up what the attempt has locked. Who waits for us still,
            -- waits for what this transaction did before.
            FOR pause IN 1..least(attempt, 15) LOOP
                IF EXISTS (
                    SELECT
                    FROM pg_catalog.pg_locks AS l
                    WHERE NOT l.granted
                      AND pg_backend_pid() = ANY (pg_blocking_pids(l.pid))
                ) THEN
                    RAISE EXCEPTION 'others wait for what this transaction has changed before, and may not end '
                        'until it ends'
                        USING ERRCODE = 'lock_not_available',
                              HINT = 'Nothing was changed. Place or release the hold in a transaction of its own.';
                END IF;
                PERFORM pg_sleep(0.02);
            END LOOP;
        END;
    END LOOP;
    RAISE EXCEPTION 'transactions that have changed content did not end within % attempts', attempts
        USING ERRCODE = 'lock_not_available',
              HINT = 'Wait for them, or end them, and try again: nothing was changed. '
                     'Who they are: pg_locks, relation ops.standing_holds.';
END
$$;
