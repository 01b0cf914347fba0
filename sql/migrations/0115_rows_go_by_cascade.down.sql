-- As 0107 has it.
CREATE OR REPLACE FUNCTION ops.keep_counted_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF pg_partition_root(TG_RELID) IS NOT NULL THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        IF NOT EXISTS (SELECT FROM public.threads AS t WHERE t.id = OLD.thread_id) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'no row of % can be added, changed or deleted now: a removal of its month ends',
        TG_RELID::regclass
        USING ERRCODE = 'object_in_use',
              HINT = 'Wait until it has ended, and write to archived_content_segments. A thread can be deleted.';
END
$$;
