-- The oldest transaction and multixact of any database, as shares of the age at which autovacuum
-- is forced to freeze. Above 1 it is behind; at some 10 the server stops writing.
SELECT
    max(age(d.datfrozenxid))::float8 / current_setting('autovacuum_freeze_max_age')::float8
        AS transactions,
    max(mxid_age(d.datminmxid))::float8
        / current_setting('autovacuum_multixact_freeze_max_age')::float8 AS multixacts
FROM pg_database AS d;
