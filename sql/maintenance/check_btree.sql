-- amcheck of a btree's structure: ACCESS SHARE, reads the whole index.
SELECT {function}(%(index)s::regclass);
