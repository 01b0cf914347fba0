-- Before the snapshot is taken: while this is held no partition can leave content_segments, so
-- what the snapshot sees of the catalog is what its queries read. ACCESS SHARE, like any reader.
LOCK TABLE content_segments IN ACCESS SHARE MODE;
