DROP TRIGGER note_record ON ops.legal_holds;
DROP TRIGGER note_returned_record ON ops.erased_rows;
DROP TRIGGER note_record ON ops.erased_rows;
DROP TRIGGER note_record ON ops.erasures;
DROP FUNCTION ops.note_record();
DROP TABLE ops.shipped_generations;
DROP TABLE ops.unshipped_records;
