-- name: finalize_detach
-- Ends a detach that was left pending. Waits, under lock_timeout, for the transactions that still
-- see the partition; the locks are those of archive/detach's second half.
ALTER TABLE {parent} DETACH PARTITION {partition} FINALIZE;

-- name: detach
-- SHARE UPDATE EXCLUSIVE on the parent, twice, with a wait in between for every transaction that
-- uses it; ACCESS EXCLUSIVE on the partition at the end. Outside a transaction only. A lock
-- time-out in that wait leaves the detach pending: archive/finalize_detach goes on.
ALTER TABLE {parent} DETACH PARTITION {partition} CONCURRENTLY;

-- name: delete_rows_of_erased_threads
-- Rows of threads that ops.erasures names. None in ordinary life; one hash join of the month with
-- the erasures.
DELETE FROM {archived} AS s
USING ops.erasures AS e
WHERE e.kind = 'thread'
  AND e.id = s.thread_id
  AND NOT EXISTS (SELECT FROM threads AS t WHERE t.id = e.id);

-- name: delete_keys_of_erased_threads
-- Keys of the month whose thread ops.erasures names, and by their cascade what belonged to them.
-- None in ordinary life. A probe of the keys' unique index for each erased thread, or one range of
-- idx_content_segment_keys_created.
DELETE FROM content_segment_keys AS k
USING ops.erasures AS e
WHERE e.kind = 'thread'
  AND e.id = k.thread_id
  AND k.created_at >= %(lower)s
  AND k.created_at < %(upper)s
  AND NOT EXISTS (SELECT FROM threads AS t WHERE t.id = e.id);

-- name: attach
-- SHARE UPDATE EXCLUSIVE on the archive's parent, SHARE ROW EXCLUSIVE on threads and users, for
-- milliseconds: a CHECK equals the bounds, left behind by the detach or made with the table, so nothing
-- is scanned.
ALTER TABLE {parent} ATTACH PARTITION {archived} FOR VALUES FROM ({lower}) TO ({upper});

-- name: rename
-- ACCESS EXCLUSIVE on a table that stands alone and that nobody reads.
ALTER TABLE {table} RENAME TO {archived};

-- name: to_public
-- ACCESS EXCLUSIVE on a table that stands alone and that nobody reads.
ALTER TABLE {table} SET SCHEMA public;

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

-- name: oid_of
-- Who a table of the schema public is. Catalog reads only.
SELECT ('public.' || quote_ident(%(table)s))::regclass::oid;
