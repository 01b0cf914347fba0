DROP TABLE ops.checksum_failures;
