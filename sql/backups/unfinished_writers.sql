-- Transactions of this database that have written something, or are about to. They hold the lock
-- on their transaction id from before their commit record is written until they have become
-- visible. is_committing: the commit record may be written already, and something is waited for.
SELECT
    l.transactionid::text AS xid,
    coalesce(a.wait_event IN ('SyncRep', 'WALSync', 'WALWrite', 'WALInsert'), false)
        AS is_committing
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'transactionid'
  AND l.mode = 'ExclusiveLock'
  AND l.granted
  AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND (a.datname IS NULL OR a.datname = current_database());
