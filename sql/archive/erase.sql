-- name: tombstones
-- Everything that was erased, but books: their threads say the same. A few rows a day.
SELECT kind, id, month, erased_at, used_again
FROM ops.erasures
WHERE kind <> 'book';

-- name: erased_rows
-- Shared rows that were deleted by themselves: a few rows a day.
SELECT table_name, key
FROM ops.erased_rows;

-- name: erase_segments
-- Scratch rows of erased authors or threads, or those erased one by one. A family takes its threads
-- along, each with a tombstone of its own. Where an id was in use again, only what was written before.
-- A hash join.
DELETE FROM {rows} AS c
USING ops.erasures AS e
WHERE e.kind = {kind}
  AND e.id = {subject}
  AND (NOT e.used_again OR c.created_at < e.erased_at);

-- name: erase_rows
-- Scratch rows by erased users, of erased segments, and those deleted by themselves. Probes of the
-- tombstones' key for each row.
DELETE FROM {rows} AS c
WHERE {by_users}
   OR {deleted}
   OR {ends_deleted};

-- name: erase_homeless_rows
-- Scratch rows none of whose segments is left in this month. Hash anti-join of scratch tables.
DELETE FROM {rows} AS c
WHERE NOT EXISTS (SELECT FROM ({ends}) AS ends WHERE {matches});

-- name: erase_makers
-- Scratch rows that name an erased user by a foreign key that is set to NULL then.
UPDATE {rows} AS c
SET {maker} = NULL
WHERE EXISTS (
    SELECT FROM ops.erasures AS e WHERE e.kind = 'user' AND e.id = {its} AND NOT e.used_again
);
