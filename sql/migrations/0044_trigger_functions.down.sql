-- As CREATE FUNCTION left them.
DO $$
DECLARE
    trigger_function regprocedure;
BEGIN
    FOR trigger_function IN
        SELECT p.oid
        FROM pg_catalog.pg_proc AS p
        WHERE p.prorettype = 'pg_catalog.trigger'::regtype
          AND p.proowner = current_user::regrole
          AND p.pronamespace::regnamespace::text IN ('public', 'ops')
          -- Since they were made, these are for nobody else.
          AND p.proname NOT IN (
              'forget_detached_segment',
              'record_erased_row',
              'forget_erased_row',
              'refuse_purged_identity',
              'forget_purged_segments',
              'note_record'
          )
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', trigger_function);
    END LOOP;
END
$$;
