-- name: archived_months
-- Months that have left content_segments for the archive, and so need no partition there. Reads
-- the ledger: a few rows a year.
SELECT DISTINCT month
FROM ops.archive_status
WHERE archived_at IS NOT NULL;

-- name: archived_audit_months
-- Months of the audit log that have left for the archive. Reads its ledger: a few rows a year.
SELECT DISTINCT month
FROM ops.audit_archive_status
WHERE state IN ('purging', 'purged');

-- name: audit_months_at_work
-- Months of the audit log whose purge has begun: what stands alone under their names is the archive's.
SELECT DISTINCT month
FROM ops.audit_archive_status
WHERE state = 'purging'
ORDER BY month;

-- name: months_at_work
-- Months of which the database still holds an archived generation, or is about to: whatever stands
-- alone under such a month's name is the archive's. Reads the ledger: a few rows a year.
SELECT month
FROM (
    SELECT DISTINCT ON (month) month, state
    FROM ops.archive_status
    ORDER BY month, generation DESC
) AS latest
WHERE state NOT IN ('purged', 'superseded')
ORDER BY month;
