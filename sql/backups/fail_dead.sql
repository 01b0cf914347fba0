-- Rows that a dead run left; the caller holds the lock that a living one would hold.
UPDATE ops.backups
SET state = 'failed', error = 'its run died'
WHERE kind = %(kind)s AND state = 'taking';
