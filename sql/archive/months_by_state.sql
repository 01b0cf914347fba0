-- Months that have a generation in a state. A few rows a year.
SELECT DISTINCT month
FROM ops.archive
WHERE state = %(state)s
ORDER BY month;
