-- What a rebuild made of an index, beside what had been estimated for it.
UPDATE ops.index_estimates
SET rebuilt_bytes = %(bytes)s, rebuilt_at = clock_timestamp()
WHERE schema_name = %(schema)s
  AND index_name = %(name)s
  AND file_node = %(file_node)s;
