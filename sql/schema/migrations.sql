-- name: create_ledger
-- sqlx's ledger, by its own definition. No lock where it exists.
CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version bigint PRIMARY KEY,
    description text NOT NULL,
    installed_on timestamptz NOT NULL DEFAULT now(),
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);

-- name: record_execution_time
-- After the commit, so that it includes the commit.
UPDATE _sqlx_migrations
SET execution_time = %(nanoseconds)s
WHERE version = %(version)s;

-- name: forget_migration
-- In the transaction of the down file.
DELETE FROM _sqlx_migrations
WHERE version = %(version)s;

-- name: record_migration
-- In the migration's own transaction; -1 until its time is known, as sqlx does.
INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
VALUES (%(version)s, %(description)s, true, %(checksum)s, -1);

-- name: applied_migrations
-- The ledger, in order. A few rows.
SELECT version, checksum, success, installed_on
FROM _sqlx_migrations
ORDER BY version;

-- name: guard_content
-- Legal holds count in tables of content that a migration has brought. SHARE ROW EXCLUSIVE on these,
-- which nobody knows yet; nothing before the migration that brings the function.
DO $$
BEGIN
    IF to_regprocedure('ops.guard_content()') IS NOT NULL THEN
        PERFORM ops.guard_content();
    END IF;
END
$$;
