-- How far a removal has come is true of that removal alone, and only who can read it goes on with it.

-- A generation that was adopted by a database which was recovered to before its purge had the progress of
-- the purge that this database never saw: the next one would have taken every row for removed.
UPDATE ops.archive
SET purged_through = NULL, purged_buckets = '{}'
WHERE state NOT IN ('purging', 'purged', 'superseded')
  AND (purged_through IS NOT NULL OR purged_buckets <> '{}');
ALTER TABLE ops.archive ADD CONSTRAINT archive_progress_of_a_removal CHECK (
    state IN ('purging', 'purged', 'superseded') OR (purged_through IS NULL AND purged_buckets = '{}')
);
ALTER TABLE ops.thaws ADD CONSTRAINT thaws_progress_of_a_removal CHECK (
    state IN ('refreezing', 'done', 'cancelled') OR (purged_through IS NULL AND purged_buckets = '{}')
);

-- A program from before 0095 does not read purged_through. It would look at what is removed once more, find
-- it without what belonged to it, and keep that as the newest version of these segments.
CREATE FUNCTION ops.refuse_removal_by_buckets() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RAISE EXCEPTION 'an earlier version can not go on with the removal of %, which a later one has begun',
        to_char(NEW.month, 'YYYY-MM')
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'Deploy the version that has begun it, or a newer one: it ends what it has begun.';
END
$$;
REVOKE EXECUTE ON FUNCTION ops.refuse_removal_by_buckets() FROM PUBLIC;
CREATE TRIGGER refuse_removal_by_buckets BEFORE UPDATE OF purged_buckets ON ops.archive
    FOR EACH ROW
    WHEN (NEW.purged_through IS NOT NULL AND NEW.purged_buckets IS DISTINCT FROM OLD.purged_buckets)
    EXECUTE FUNCTION ops.refuse_removal_by_buckets();
CREATE TRIGGER refuse_removal_by_buckets BEFORE UPDATE OF purged_buckets ON ops.thaws
    FOR EACH ROW
    WHEN (NEW.purged_through IS NOT NULL AND NEW.purged_buckets IS DISTINCT FROM OLD.purged_buckets)
    EXECUTE FUNCTION ops.refuse_removal_by_buckets();
