-- Of the seconds that a rebuild took, those in which it waited for other sessions: how fast it
-- works is learned without them.
ALTER TABLE ops.index_rebuilds ADD COLUMN waited_seconds double precision;
