-- The ledger, in order. A few rows.
SELECT version, checksum, success, installed_on
FROM _sqlx_migrations
ORDER BY version;
