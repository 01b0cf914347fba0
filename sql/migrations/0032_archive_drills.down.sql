DROP TABLE ops.archive_drills;
