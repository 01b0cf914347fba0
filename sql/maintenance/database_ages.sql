-- The oldest transaction and multixact id of every database, as shares of the age at which
-- autovacuum freezes by force. Reads pg_database.
SELECT
    datname AS name,
    age(datfrozenxid)::bigint AS transaction_age,
    mxid_age(datminmxid)::bigint AS multixact_age,
    age(datfrozenxid) / current_setting('autovacuum_freeze_max_age')::float8
        AS transaction_share,
    mxid_age(datminmxid) / current_setting('autovacuum_multixact_freeze_max_age')::float8
        AS multixact_share
FROM pg_database
ORDER BY greatest(
    age(datfrozenxid) / current_setting('autovacuum_freeze_max_age')::float8,
    mxid_age(datminmxid) / current_setting('autovacuum_multixact_freeze_max_age')::float8
) DESC, datname;
