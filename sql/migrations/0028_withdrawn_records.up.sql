-- A tombstone that was withdrawn has to be known to the bucket as well: whoever adopts the archive would
-- otherwise delete again what a restore has brought back.

ALTER TABLE ops.unshipped_records
    DROP CONSTRAINT unshipped_records_kind_check,
    ADD CONSTRAINT unshipped_records_kind_check CHECK (
        kind IN ('erasure', 'withdrawn_erasure', 'erased_row', 'returned_row', 'hold')
    );

CREATE TRIGGER note_record AFTER INSERT ON ops.withdrawn_erasures
    FOR EACH ROW EXECUTE FUNCTION ops.note_record('withdrawn_erasure');
ALTER TABLE ops.withdrawn_erasures ENABLE ALWAYS TRIGGER note_record;

-- What there is so far.
INSERT INTO ops.unshipped_records (kind, record)
SELECT 'withdrawn_erasure', to_jsonb(w) FROM ops.withdrawn_erasures AS w;
