-- As a reader sent them.
COPY pg_temp.storage_differences FROM STDIN (FORMAT BINARY);
