-- A relation: the segments that lie in a run of a table's pages. Reads these pages alone.
(
    SELECT *
    FROM {segments}
    WHERE ctid >= {lower}::tid
      AND ctid < {upper}::tid
);
