DROP TRIGGER forget_purged_segments ON threads;
DROP TRIGGER refuse_purged_identity ON content_segment_keys;
DROP FUNCTION ops.forget_purged_segments();
DROP FUNCTION ops.refuse_purged_identity();
DROP TABLE ops.purged_segments;
