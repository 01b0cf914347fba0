-- How many rows of each month differ.
SELECT month, count(*) FROM pg_temp.storage_differences GROUP BY month ORDER BY month;
