-- A removal is ended by who knows how far it has come: he takes that out of the ledger in the transaction that
-- drops the month's table or attaches what stays of it. A program from before 0095 does not know of it. One that
-- put a month back which was begun by buckets and continued by ids attached rows again whose keys were gone, and
-- all that belonged to them.
CREATE FUNCTION ops.refuse_unread_end() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RAISE EXCEPTION 'an earlier version can not end the removal of %, which a later one has begun',
        to_char(NEW.month, 'YYYY-MM')
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'Deploy the version that has begun it, or a newer one: it ends what it has begun.';
END
$$;
REVOKE EXECUTE ON FUNCTION ops.refuse_unread_end() FROM PUBLIC;
CREATE TRIGGER refuse_unread_end BEFORE UPDATE ON ops.archive
    FOR EACH ROW
    WHEN (OLD.state = 'purging' AND NEW.state <> 'purging' AND NEW.purged_through IS NOT NULL)
    EXECUTE FUNCTION ops.refuse_unread_end();
CREATE TRIGGER refuse_unread_end BEFORE UPDATE ON ops.thaws
    FOR EACH ROW
    WHEN (OLD.state = 'refreezing' AND NEW.state <> 'refreezing' AND NEW.purged_through IS NOT NULL)
    EXECUTE FUNCTION ops.refuse_unread_end();
