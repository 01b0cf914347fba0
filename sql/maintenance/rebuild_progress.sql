-- Where a rebuild is. A role sees its own sessions without any grant.
SELECT phase, blocks_done, blocks_total, tuples_done, tuples_total, lockers_done, lockers_total
FROM pg_stat_progress_create_index
WHERE pid = %(pid)s;
