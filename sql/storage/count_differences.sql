-- How many rows of each month differ. Autovacuum never analyses a temporary table, and nothing
-- here needs it to.
SELECT month, count(*) FROM pg_temp.storage_differences GROUP BY month ORDER BY month;
