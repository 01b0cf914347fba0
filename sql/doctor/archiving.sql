-- Whether the server archives its log, and how the last try ended. Reads statistics only; whoever
-- may not read a setting gets no row of it.
SELECT
    coalesce((SELECT setting FROM pg_settings WHERE name = 'archive_mode'), 'unreadable') AS mode,
    a.last_archived_time,
    a.last_failed_time,
    coalesce(a.last_failed_time > a.last_archived_time, a.last_failed_time IS NOT NULL) AS is_failing
FROM pg_stat_archiver AS a;
