-- A closed partition's counters. While they stand still, the first sighting of them stays.
INSERT INTO ops.frozen_partitions AS known
    (table_oid, file_node, table_name, changes, seen_at)
VALUES (%(table_oid)s, %(file_node)s, %(table_name)s, %(changes)s, %(seen_at)s)
ON CONFLICT (table_oid, file_node) DO UPDATE
SET changes = excluded.changes, seen_at = excluded.seen_at, frozen_at = NULL
WHERE abs(known.changes - excluded.changes) > %(trickle)s;
