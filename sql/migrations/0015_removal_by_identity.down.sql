DROP FUNCTION ops.forget_detached_segment();
ALTER TABLE ops.thaws DROP COLUMN relation, DROP COLUMN relation_name;
ALTER TABLE ops.archive DROP COLUMN relation, DROP COLUMN relation_name;
