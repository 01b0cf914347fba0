-- What a server can take, and what is taken: client backends of all databases. Needs pg_monitor
-- to see other users' sessions whole. Statistics views only.
SELECT
    current_setting('max_connections')::integer AS max_connections,
    current_setting('superuser_reserved_connections')::integer
        + coalesce(current_setting('reserved_connections', true), '0')::integer AS reserved,
    count(*)::integer AS used,
    (count(*) FILTER (WHERE a.usename = %(app_role)s))::integer AS application,
    (count(*) FILTER (WHERE a.state = 'active'))::integer AS active,
    (count(*) FILTER (WHERE a.state LIKE 'idle in transaction%%'))::integer AS idle_in_transaction
FROM pg_stat_activity AS a
WHERE a.backend_type = 'client backend';
