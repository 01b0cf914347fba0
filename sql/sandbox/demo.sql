-- name: tables_bytes
-- Bytes of tables with their indexes and TOAST. Reads file sizes only.
SELECT coalesce(sum(pg_total_relation_size(format('public.%%I', name)::regclass)), 0)::bigint
FROM unnest(%(tables)s::text[]) AS name;

-- name: storage_used
-- What the families' totals add up to.
SELECT coalesce(sum(storage_used_bytes), 0)
FROM families;
