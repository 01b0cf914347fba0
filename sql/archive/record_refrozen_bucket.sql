-- In the transaction that removed the bucket's rows.
UPDATE ops.thaws
SET purged_buckets = purged_buckets || %(bucket)s::smallint
WHERE id = %(id)s;
