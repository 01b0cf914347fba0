-- The end of a removal counts which rows of a month's lone table stay, and drops it afterwards. The trigger of this
-- function keeps the rows as they were counted, so that nobody has to wait for the count: none comes in, none is
-- changed, and none goes but with its thread, which takes it out of the table and out of its copy at once.
--
-- Whether it goes with its thread is told by the thread and not by how deep in triggers the deletion is: a trigger of
-- somebody else's may delete rows, too. Users have no such cascade: who has segments can't be deleted.
--
-- A table that was attached again is a month like any other, whoever attached it. pg_partition_root knows that of
-- now; a snapshot from before the detach would still have the table for a partition.
CREATE FUNCTION ops.keep_counted_row() RETURNS trigger
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
REVOKE EXECUTE ON FUNCTION ops.keep_counted_row() FROM PUBLIC;
