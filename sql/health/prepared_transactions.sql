-- Transactions prepared for two-phase commit and forgotten: they hold locks and the xmin horizon,
-- and belong to no session.
SELECT
    gid,
    extract(epoch FROM clock_timestamp() - prepared)::float8 AS seconds
FROM pg_prepared_xacts
ORDER BY prepared;
