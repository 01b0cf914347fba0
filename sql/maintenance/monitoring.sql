-- name: can_monitor
-- Whether this role sees other users' sessions and statistics.
SELECT pg_has_role('pg_read_all_stats', 'USAGE');
