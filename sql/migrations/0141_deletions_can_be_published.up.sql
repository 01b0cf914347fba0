-- A publication FOR ALL TABLES made the server refuse each UPDATE and DELETE of these, which have no key: no hold could
-- be placed or released, no purge ended, and no storage was counted. ACCESS EXCLUSIVE on each for an instant.
ALTER TABLE ops.hold_changes REPLICA IDENTITY FULL;
ALTER TABLE ops.kept_segments REPLICA IDENTITY FULL;
ALTER TABLE ops.storage_changes REPLICA IDENTITY FULL;
