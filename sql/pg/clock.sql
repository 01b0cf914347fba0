-- name: server_time
-- What the server's clock says. Reads nothing.
SELECT clock_timestamp();
