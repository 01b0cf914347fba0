-- While the end of a removal counts, a row goes only with its thread: by the cascade of its deletion, which takes it out
-- of the table and out of its copy, or by the operations, which take out what such a cascade did not reach. Until now
-- anybody could delete rows whose thread was gone, and gone is told by what is there at that moment: who deleted a
-- thread past the triggers, then its rows in the copy alone, and inserted it again, had the drop of the table take
-- those rows, although they had been counted.
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
    IF TG_OP = 'DELETE' AND (pg_trigger_depth() > 1 OR current_setting('ft_ops.forgets', true) = 'on') THEN
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
