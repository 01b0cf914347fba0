-- Replication slots, with the log that each holds back on the server's disk. A temporary slot goes
-- with its session.
SELECT
    s.slot_name AS name,
    s.slot_type AS kind,
    s.active AS is_active,
    coalesce(s.wal_status, '') AS wal_status,
    coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0)::bigint AS retained_bytes
FROM pg_replication_slots AS s
WHERE NOT s.temporary
  AND NOT pg_is_in_recovery()
ORDER BY s.slot_name;
