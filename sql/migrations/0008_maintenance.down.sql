DROP TABLE ops.frozen_partitions;
DROP TABLE ops.index_rebuilds;
DROP TABLE ops.index_usage;
DROP TABLE ops.index_estimates;
