-- A drill may be of a month of the audit log: its generations are in ops.audit_archive.
ALTER TABLE ops.archive_drills
    ADD COLUMN ledger text NOT NULL DEFAULT 'archive' CHECK (ledger IN ('archive', 'audit_archive'));
