DROP VIEW ops.audit_archive_status;
DROP TABLE ops.audit_archive;
DROP FUNCTION ops.date_audit_generation();
