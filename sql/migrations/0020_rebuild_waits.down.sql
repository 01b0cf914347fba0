ALTER TABLE ops.index_rebuilds DROP COLUMN waited_seconds;
