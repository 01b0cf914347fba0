-- In the migration's own transaction; -1 until its time is known, as sqlx does.
INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
VALUES (%(version)s, %(description)s, true, %(checksum)s, -1);
