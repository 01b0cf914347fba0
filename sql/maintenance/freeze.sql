-- name: record_frozen
-- A closed partition, frozen at these counters.
INSERT INTO ops.frozen_partitions
    (table_oid, file_node, table_name, changes, seen_at, frozen_at)
VALUES (%(table_oid)s, %(file_node)s, %(table_name)s, %(changes)s, %(seen_at)s, %(frozen_at)s)
ON CONFLICT (table_oid, file_node) DO UPDATE
SET table_name = excluded.table_name, changes = excluded.changes,
    seen_at = excluded.seen_at, frozen_at = excluded.frozen_at;

-- name: record_seen
-- A closed partition's counters. While they stand still, the first sighting of them stays.
INSERT INTO ops.frozen_partitions AS known
    (table_oid, file_node, table_name, changes, seen_at)
VALUES (%(table_oid)s, %(file_node)s, %(table_name)s, %(changes)s, %(seen_at)s)
ON CONFLICT (table_oid, file_node) DO UPDATE
SET changes = excluded.changes, seen_at = excluded.seen_at, frozen_at = NULL
WHERE abs(known.changes - excluded.changes) > %(trickle)s;

-- name: seen_partitions
-- What is known of closed partitions: a few rows a month.
SELECT table_oid::bigint AS table_oid, file_node, changes, seen_at, frozen_at
FROM ops.frozen_partitions;
