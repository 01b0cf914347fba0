-- As a reader sent them.
COPY pg_temp.storage_corrections FROM STDIN (FORMAT BINARY);
