-- What is known of closed partitions: a few rows a month.
SELECT table_oid::bigint AS table_oid, file_node, changes, seen_at, frozen_at
FROM ops.frozen_partitions;
