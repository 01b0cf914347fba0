-- The bytes in use on a btree's leaf pages: ACCESS SHARE, reads the whole index.
SELECT (leaf_pages * (%(page)s - 40) * avg_leaf_density / 100)::bigint
FROM {function}(%(index)s::regclass);
