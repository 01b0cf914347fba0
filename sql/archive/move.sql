-- name: finalize_detach
-- Ends a detach that was left pending. Waits, under lock_timeout, for the transactions that still
-- see the partition; the locks are those of archive/detach's second half.
ALTER TABLE {parent} DETACH PARTITION {partition} FINALIZE;

-- name: detach
-- SHARE UPDATE EXCLUSIVE on the parent, twice, with a wait in between for every transaction that
-- uses it; ACCESS EXCLUSIVE on the partition at the end. Outside a transaction only. A lock
-- time-out in that wait leaves the detach pending: archive/finalize_detach goes on.
ALTER TABLE {parent} DETACH PARTITION {partition} CONCURRENTLY;

-- name: erased_threads
-- Threads that ops.erasures names and of which a relation has rows all the same. None in ordinary life; one hash join
-- of the relation with the erasures.
SELECT DISTINCT s.thread_id
FROM {rows} AS s
JOIN ops.erasures AS e ON e.kind = 'thread' AND e.id = s.thread_id
WHERE NOT EXISTS (SELECT FROM threads AS t WHERE t.id = e.id);

-- name: forgets
-- Until the transaction ends: a table that keeps its rows as they were counted lets those of deleted threads go.
SET LOCAL ft_ops.forgets = 'on';

-- name: delete_rows_of_erased_thread
-- Row locks. Probes of the index by thread.
DELETE FROM {archived} AS s
WHERE s.thread_id = %(thread)s
  AND NOT EXISTS (SELECT FROM threads AS t WHERE t.id = %(thread)s);

-- name: delete_keys_of_erased_thread
-- Row locks on the thread's keys of the month, and by their cascade on what belonged to them. Probes of the keys'
-- unique index.
DELETE FROM content_segment_keys AS k
WHERE k.thread_id = %(thread)s
  AND k.created_at >= %(lower)s
  AND k.created_at < %(upper)s
  AND NOT EXISTS (SELECT FROM threads AS t WHERE t.id = %(thread)s);

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
