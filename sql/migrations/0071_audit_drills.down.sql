-- The drills of the audit log's months stay in the bucket's records.
DELETE FROM ops.archive_drills WHERE ledger <> 'archive';
ALTER TABLE ops.archive_drills DROP COLUMN ledger;
