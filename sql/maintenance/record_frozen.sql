-- A closed partition, frozen at these counters.
INSERT INTO ops.frozen_partitions
    (table_oid, file_node, table_name, changes, seen_at, frozen_at)
VALUES (%(table_oid)s, %(file_node)s, %(table_name)s, %(changes)s, %(seen_at)s, %(frozen_at)s)
ON CONFLICT (table_oid, file_node) DO UPDATE
SET table_name = excluded.table_name, changes = excluded.changes,
    seen_at = excluded.seen_at, frozen_at = excluded.frozen_at;
