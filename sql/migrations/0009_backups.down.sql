DROP VIEW ops.verified_backups;
DROP TABLE ops.restore_drills;
DROP TABLE ops.backups;
