DROP TRIGGER refuse_removal_by_buckets ON ops.thaws;
DROP TRIGGER refuse_removal_by_buckets ON ops.archive;
DROP FUNCTION ops.refuse_removal_by_buckets();
ALTER TABLE ops.thaws DROP CONSTRAINT thaws_progress_of_a_removal;
ALTER TABLE ops.archive DROP CONSTRAINT archive_progress_of_a_removal;
