-- One row, in the transaction that removes the links.
UPDATE ops.archive
SET departed_links = %(departed)s
WHERE month = %(month)s
  AND generation = %(generation)s;
