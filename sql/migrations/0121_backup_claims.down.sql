DROP TABLE ops.backup_claims;
