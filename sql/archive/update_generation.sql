-- One row, matched by the state that the caller has seen: of two runs, one matches nothing.
UPDATE ops.archive
SET {assignments}
WHERE month = %(month)s
  AND generation = %(generation)s
  AND state = %(seen_state)s;
