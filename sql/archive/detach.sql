-- SHARE UPDATE EXCLUSIVE on the parent, twice, with a wait in between for every transaction that
-- uses it; ACCESS EXCLUSIVE on the partition at the end. Outside a transaction only. A lock
-- time-out in that wait leaves the detach pending: archive/finalize_detach.sql goes on.
ALTER TABLE {parent} DETACH PARTITION {partition} CONCURRENTLY;
