-- Nobody but their owner attaches the schema's trigger functions to a table. They run as the operations,
-- and believe the row that they are called with: whoever may make a table, be it a temporary one, could
-- have the key of somebody else's segment deleted by a row of his own.
--
-- A trigger that is there asks for no such right when it fires, nor does one that a new partition gets.
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
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', trigger_function);
    END LOOP;
END
$$;
