-- Loads a temporary table of the session; no lock that another session could meet.
COPY pg_temp.media_seen (key, bytes) FROM STDIN (FORMAT BINARY);
