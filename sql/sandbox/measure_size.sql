-- Bytes of the tables that a sample fills, with their partitions, indexes and TOAST.
-- Reads file sizes only.
SELECT sum(pg_total_relation_size(t.relid))::bigint
FROM unnest(%(tables)s::text[]) AS name
CROSS JOIN LATERAL pg_partition_tree(('public.' || name)::regclass) AS t
