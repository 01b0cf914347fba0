-- Drops partitions that hold nothing. One that holds rows stays, and stops the revert.
DO $$
DECLARE
    partition regclass;
    has_rows boolean;
BEGIN
    FOR partition IN
        SELECT inhrelid::regclass
        FROM pg_inherits
        WHERE inhparent IN ('content_segments'::regclass, 'audit_log'::regclass)
        ORDER BY inhrelid::regclass::text
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', partition) INTO has_rows;
        IF has_rows THEN
            RAISE EXCEPTION 'partition % holds rows', partition
                USING ERRCODE = 'restrict_violation',
                      HINT = 'Archive or move them before this migration is reverted.';
        END IF;
        EXECUTE format('DROP TABLE %s', partition);
    END LOOP;
END
$$;

DROP FUNCTION refuse_write_during_repair();
