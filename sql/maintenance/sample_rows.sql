-- Where sampled rows of an index are, and how wide each of its columns is stored there. Reads
-- about {percent} of the table's pages under ACCESS SHARE. Where a table has far more rows than
-- its statistics say, it is the first {most} of them.
SELECT ctid::text AS row, ARRAY[{widths}]::integer[] AS widths
FROM {table} TABLESAMPLE SYSTEM (%(percent)s)
WHERE {predicate}
  AND random() < %(share)s
LIMIT %(most)s;
