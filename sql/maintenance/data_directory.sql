-- Where the server keeps its data. Needs pg_monitor.
SELECT current_setting('data_directory');
