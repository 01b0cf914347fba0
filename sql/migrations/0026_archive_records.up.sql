-- What the archive's bucket has to know besides content, so that it suffices when this database is
-- gone: tombstones, holds, and the ledger. A tombstone or a hold is written down here in the transaction
-- that makes it, until it lies in the bucket.

CREATE TABLE ops.unshipped_records (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('erasure', 'erased_row', 'returned_row', 'hold')),
    -- The row of ops.erasures, ops.erased_rows or ops.legal_holds as it is afterwards.
    record jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Which state of which generation lies in the bucket, by the moment of its last change.
CREATE TABLE ops.shipped_generations (
    month date NOT NULL,
    generation integer NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (month, generation)
);

-- One row for each change, without a lock that another could wait for. Not of what is adopted from the
-- bucket, where it lies already: whoever may act as the table's owner says so by a setting.
CREATE FUNCTION ops.note_record() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF coalesce(current_setting('ft_ops.adopts', true), '') = 'on'
        AND pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER')
    THEN
        RETURN NULL;
    END IF;
    INSERT INTO ops.unshipped_records (kind, record)
    VALUES (TG_ARGV[0], to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END));
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION ops.note_record() FROM PUBLIC;

CREATE TRIGGER note_record AFTER INSERT OR UPDATE ON ops.erasures
    FOR EACH ROW EXECUTE FUNCTION ops.note_record('erasure');
CREATE TRIGGER note_record AFTER INSERT ON ops.erased_rows
    FOR EACH ROW EXECUTE FUNCTION ops.note_record('erased_row');
CREATE TRIGGER note_returned_record AFTER DELETE ON ops.erased_rows
    FOR EACH ROW EXECUTE FUNCTION ops.note_record('returned_row');
CREATE TRIGGER note_record AFTER INSERT OR UPDATE ON ops.legal_holds
    FOR EACH ROW EXECUTE FUNCTION ops.note_record('hold');
ALTER TABLE ops.erasures ENABLE ALWAYS TRIGGER note_record;
ALTER TABLE ops.erased_rows
    ENABLE ALWAYS TRIGGER note_record,
    ENABLE ALWAYS TRIGGER note_returned_record;
ALTER TABLE ops.legal_holds ENABLE ALWAYS TRIGGER note_record;

-- What there is so far.
INSERT INTO ops.unshipped_records (kind, record)
SELECT 'erasure', to_jsonb(e) FROM ops.erasures AS e;
INSERT INTO ops.unshipped_records (kind, record)
SELECT 'erased_row', to_jsonb(e) FROM ops.erased_rows AS e;
INSERT INTO ops.unshipped_records (kind, record)
SELECT 'hold', to_jsonb(h) FROM ops.legal_holds AS h ORDER BY h.id;

GRANT SELECT ON ops.unshipped_records, ops.shipped_generations TO ft_readonly;
