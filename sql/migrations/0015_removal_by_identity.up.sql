-- What the archive removes it names, and nothing goes because something else is missing: a month's
-- table is the one that the ledger recorded before it was detached, and while that table stands alone
-- it takes the keys of its deleted rows along itself.

ALTER TABLE ops.archive
    -- The table that holds the month's rows, and what it was called, from before it is detached.
    ADD COLUMN relation oid,
    ADD COLUMN relation_name text,
    ADD CONSTRAINT archive_relation_is_named
        CHECK (num_nonnulls(relation, relation_name) IN (0, 2));

ALTER TABLE ops.thaws
    -- The table that the thaw made or filled.
    ADD COLUMN relation oid,
    ADD COLUMN relation_name text,
    ADD CONSTRAINT thaws_relation_is_named
        CHECK (num_nonnulls(relation, relation_name) IN (0, 2));

-- A month's own trigger, made before it is detached: the parent's go with the detach. A thread that is
-- deleted meanwhile takes its rows by their foreign key, and each row takes its key, and by its
-- cascade what belongs to it. Beside the parent's trigger it finds nothing left to do.
CREATE FUNCTION ops.forget_detached_segment() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM public.content_segment_keys
    WHERE id = OLD.id
      AND created_at = OLD.created_at;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION ops.forget_detached_segment() FROM PUBLIC;
