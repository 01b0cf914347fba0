-- name: others_at_work
-- Whether a client other than the operations has been at work in this database within the last
-- second. Of other roles' sessions only pg_monitor sees the state; whom it can't see counts as at
-- work. Reads shared memory.
SELECT EXISTS (
    SELECT FROM pg_stat_activity AS a
    WHERE a.datname = current_database()
      AND a.backend_type = 'client backend'
      AND a.application_name NOT LIKE 'ft-ops %'
      AND (
          a.state IS NULL
          OR a.state <> 'idle'
          OR a.state_change > clock_timestamp() - interval '1 second'
      )
);
