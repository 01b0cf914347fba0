COPY pg_temp.media_seen (key, bytes) FROM STDIN (FORMAT BINARY);
