-- Drills that a dead run left; the caller holds the lock that a living one would hold.
UPDATE ops.restore_drills
SET state = 'died'
WHERE state = 'running';
