-- In the transaction of the down file.
DELETE FROM _sqlx_migrations
WHERE version = %(version)s;
