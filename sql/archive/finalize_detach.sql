-- Ends a detach that was left pending. Waits, under lock_timeout, for the transactions that still
-- see the partition; the locks are those of archive/detach.sql's second half.
ALTER TABLE {parent} DETACH PARTITION {partition} FINALIZE;
