-- Estimates of files that no longer exist and whose truth nobody measured: of dropped indexes, and
-- of those that somebody else rebuilt.
DELETE FROM ops.index_estimates AS e
WHERE e.rebuilt_at IS NULL
  AND NOT EXISTS (
      SELECT
      FROM pg_class AS c
      JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE n.nspname = e.schema_name
        AND c.relname = e.index_name
        AND c.relfilenode::bigint = e.file_node
  );
