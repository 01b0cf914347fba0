-- Months of which the database still holds an archived generation, or is about to: whatever stands
-- alone under such a month's name is the archive's. Reads the ledger: a few rows a year.
SELECT month
FROM (
    SELECT DISTINCT ON (month) month, state
    FROM ops.archive
    ORDER BY month, generation DESC
) AS latest
WHERE state NOT IN ('purged', 'superseded')
ORDER BY month;
