-- A hold that is released holds nothing more, whoever was about to write down what it holds: a search of
-- the archives that was under way, or a month that was about to be detached, wrote it down after the release
-- had forgotten all of it. Nobody would ever have forgotten it then, and what it named could not be deleted
-- while any other hold stood.

CREATE FUNCTION ops.forget_released_subjects() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    -- A release waits from here on until this transaction ends, and forgets these rows, too; one that came
    -- before is seen by the next statement.
    PERFORM pg_sequence_last_value('ops.standing_holds');
    DELETE FROM ops.held_subjects AS s
    USING added AS a, ops.legal_holds AS h
    WHERE (s.id, s.kind, s.hold_id) = (a.id, a.kind, a.hold_id)
      AND h.id = s.hold_id
      AND h.released_at IS NOT NULL;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION ops.forget_released_subjects() FROM PUBLIC;
CREATE TRIGGER forget_released_subjects AFTER INSERT ON ops.held_subjects
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION ops.forget_released_subjects();

DELETE FROM ops.held_subjects AS s
USING ops.legal_holds AS h
WHERE h.id = s.hold_id
  AND h.released_at IS NOT NULL;
