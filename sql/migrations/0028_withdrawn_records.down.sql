DROP TRIGGER note_record ON ops.withdrawn_erasures;
DELETE FROM ops.unshipped_records
WHERE kind = 'withdrawn_erasure';
ALTER TABLE ops.unshipped_records
    DROP CONSTRAINT unshipped_records_kind_check,
    ADD CONSTRAINT unshipped_records_kind_check CHECK (
        kind IN ('erasure', 'erased_row', 'returned_row', 'hold')
    );
