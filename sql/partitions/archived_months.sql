-- Months that have left content_segments for the archive, and so need no partition there. Reads
-- the ledger: a few rows a year.
SELECT DISTINCT month
FROM ops.archive
WHERE archived_at IS NOT NULL;
