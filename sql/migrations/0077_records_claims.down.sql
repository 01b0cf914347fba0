DROP TABLE ops.records_claims;
