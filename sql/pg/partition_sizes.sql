-- Bytes of each partition of a table, with its indexes and TOAST. ACCESS SHARE on one after the
-- other, and a look at each of their files: some tenth of a millisecond for each partition.
SELECT
    child.relname,
    pg_total_relation_size(child.oid)
FROM pg_inherits AS link
JOIN pg_class AS child ON child.oid = link.inhrelid
WHERE link.inhparent = %(parent)s::regclass;
