-- name: insert_rows
-- What is missing. Row locks on new rows, KEY SHARE on the rows that they refer to.
INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {values}
FROM {rows} AS c
WHERE c.ft_writes
  AND c.ft_state = 'missing'
  AND c.ft_number BETWEEN %(first)s AND %(last)s
  AND {is_here};

-- name: overwrite_rows
-- What was changed since, where that was asked for. Row locks.
UPDATE {table} AS l
SET {assignments}
FROM {rows} AS c
WHERE c.ft_writes
  AND c.ft_state = 'changed'
  AND c.ft_number BETWEEN %(first)s AND %(last)s
  AND {same_key};

-- name: write_late
-- References of written rows to what was written after them. Row locks on this transaction's own rows.
UPDATE {table} AS l
SET {assignments}
FROM {rows} AS c
WHERE c.ft_writes
  AND ({is_late})
  AND c.ft_number BETWEEN %(first)s AND %(last)s
  AND {same_key};

-- name: not_as_copied
-- Written rows that are not there as the copy has them: a trigger keeps them out, or changes them.
SELECT c.ft_number
FROM {rows} AS c
WHERE c.ft_writes
  AND NOT EXISTS (SELECT FROM {live} AS l WHERE {same_key} AND {is_same});

-- name: lock_way
-- Keeps rows to which written ones refer as they are: a SHARE lock on each, which foreign keys' own locks
-- don't wait for. It fails where one was changed since the snapshot.
SELECT
FROM {parent} AS p
WHERE ({key}) IN ({reached})
ORDER BY {key}
FOR SHARE;

-- name: withdraw_erasures
-- Tombstones of a deletion that somebody has named as a mistake. What they were stays on record.
WITH gone AS (
    DELETE FROM ops.erasures AS e
    USING unnest(%(kinds)s::text[], %(ids)s::uuid[]) AS named (kind, id)
    WHERE e.kind = named.kind
      AND e.id = named.id
    RETURNING e.kind, e.id, e.month, e.erased_at
)

INSERT INTO ops.withdrawn_erasures (kind, id, month, erased_at, reason, run_id)
SELECT kind, id, month, erased_at, %(reason)s, %(run_id)s
FROM gone;

-- name: record_restore
-- One row.
INSERT INTO ops.restores (kind, subject, source, as_of, overwrote, rows, run_id)
VALUES (%(kind)s, %(subject)s, %(source)s, %(as_of)s, %(overwrote)s, %(rows)s, %(run_id)s)
RETURNING id;

-- name: written
-- How many rows of each table this session has written that it has not yet reported: all of this
-- transaction's, whether by a statement, a trigger or a cascade. Shared memory of this process alone. Whose
-- partition a table is, the transaction's own snapshot says: one may be about to leave meanwhile.
SELECT
    format('%s.%s', n.nspname, root.relname) AS name,
    sum(s.n_tup_ins)::bigint AS inserted,
    sum(s.n_tup_upd)::bigint AS updated,
    sum(s.n_tup_del)::bigint AS deleted
FROM pg_stat_xact_all_tables AS s
LEFT JOIN pg_inherits AS i ON i.inhrelid = s.relid
JOIN pg_class AS root
    ON root.oid = coalesce(pg_partition_root(coalesce(i.inhparent, s.relid)), s.relid)
JOIN pg_namespace AS n ON n.oid = root.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast')
  AND n.oid <> pg_my_temp_schema()
  AND n.nspname !~ '^pg_toast_temp'
GROUP BY n.nspname, root.relname
HAVING sum(s.n_tup_ins) + sum(s.n_tup_upd) + sum(s.n_tup_del) > 0;
