-- The generation of a month that is proven and still in the database, locked against a purge at
-- work on it. One row or none.
SELECT generation, departed_links
FROM ops.archive
WHERE month = %(month)s
  AND state IN ('proven', 'freezing', 'frozen', 'purging')
FOR UPDATE;
