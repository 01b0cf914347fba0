-- name: finalize_detach
-- Ends a detach that was left pending. Waits, under lock_timeout, for the transactions that still
-- see the partition; the locks are those of archive/detach.sql's second half.
ALTER TABLE {parent} DETACH PARTITION {partition} FINALIZE;

-- name: detach
-- SHARE UPDATE EXCLUSIVE on the parent, twice, with a wait in between for every transaction that
-- uses it; ACCESS EXCLUSIVE on the partition at the end. Outside a transaction only. A lock
-- time-out in that wait leaves the detach pending: archive/finalize_detach.sql goes on.
ALTER TABLE {parent} DETACH PARTITION {partition} CONCURRENTLY;

-- name: delete_orphans
-- Rows whose thread is gone. None in ordinary life: one hash anti-join of the month with threads.
DELETE FROM {archived} AS s
WHERE NOT EXISTS (SELECT FROM threads AS t WHERE t.id = s.thread_id);

-- name: delete_stray_keys
-- Keys of the month whose segment is gone, and by their cascade what belonged to it. One range of
-- idx_content_segment_keys_created, anti-joined with the month.
DELETE FROM content_segment_keys AS k
WHERE k.created_at >= %(lower)s
  AND k.created_at < %(upper)s
  AND NOT EXISTS (
      SELECT FROM {archived} AS s WHERE s.id = k.id AND s.created_at = k.created_at
  );

-- name: attach
-- SHARE UPDATE EXCLUSIVE on the archive's parent, SHARE ROW EXCLUSIVE on threads and users, for
-- milliseconds: the CHECK that the detach left behind equals the bounds, so nothing is scanned.
ALTER TABLE {parent} ATTACH PARTITION {archived} FOR VALUES FROM ({lower}) TO ({upper});

-- name: rename
-- ACCESS EXCLUSIVE on a table that stands alone and that nobody reads.
ALTER TABLE {table} RENAME TO {archived};

-- name: long_transactions
-- Transactions of this database that a detach would have to wait for. Needs pg_monitor to see
-- other users' sessions.
SELECT
    pid,
    application_name,
    extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age_seconds,
    coalesce(state, 'unknown') AS state
FROM pg_stat_activity
WHERE datname = current_database()
  AND pid <> pg_backend_pid()
  AND xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
ORDER BY xact_start;
