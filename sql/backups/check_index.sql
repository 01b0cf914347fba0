-- amcheck: the index's own order, and that it has an entry for every row. ACCESS SHARE.
SELECT {function}(%(index_id)s::oid::regclass, true);
