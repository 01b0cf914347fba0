-- In the transaction that removed the bucket's rows.
UPDATE ops.archive
SET purged_buckets = purged_buckets || %(bucket)s::smallint
WHERE month = %(month)s
  AND generation = %(generation)s;
