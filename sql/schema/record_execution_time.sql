-- After the commit, so that it includes the commit.
UPDATE _sqlx_migrations
SET execution_time = %(nanoseconds)s
WHERE version = %(version)s;
