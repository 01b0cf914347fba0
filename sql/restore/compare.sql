-- name: create_rows
-- A temporary table for what the copy has of one table; its own transaction's. What the copy lacks gets
-- today's default, what is generated is generated again. ft_families: whose the copy says that a row is.
CREATE TEMPORARY TABLE {rows} (
    LIKE {table} INCLUDING DEFAULTS INCLUDING GENERATED,
    ft_state text NOT NULL DEFAULT 'missing',
    ft_why text,
    ft_place text,
    ft_families uuid[],
    ft_number bigint,
    ft_writes boolean NOT NULL DEFAULT false
) ON COMMIT DROP;

-- name: compare_rows
-- Each row against the one that lives under its key. Probes of the primary key, or one hash join.
-- The text of all columns is compared, whatever their types.
UPDATE {rows} AS c
SET ft_state = CASE
        WHEN {is_same} THEN 'same'
        WHEN {is_of_subject} THEN 'changed'
        ELSE 'conflict'
    END,
    ft_why = CASE
        WHEN NOT {is_same} AND NOT {is_of_subject}
            THEN 'its id belongs to something outside of what is restored'
    END
FROM {live} AS l
WHERE {same_key}
  AND c.ft_state = 'missing';

-- name: choose_rows
-- Which of them are to be written, before what keeps some of them out.
UPDATE {rows}
SET ft_writes = ft_state = 'missing' OR ft_state = 'changed' AND %(overwrite)s;

-- name: keep_out
-- Rows that a reason keeps from being written. What is changed stays so, with the reason.
UPDATE {rows} AS c
SET ft_state = CASE WHEN c.ft_state = 'missing' THEN {state} ELSE c.ft_state END,
    ft_why = {why},
    ft_writes = false
WHERE c.ft_writes
  AND {condition};

-- name: tombstones_of
-- Of which rows a tombstone says that they were erased, and when. Probes of its primary key.
SELECT e.kind, e.id, e.erased_at
FROM {rows} AS c
JOIN ops.erasures AS e ON e.kind = %(kind)s AND e.id = c.id
WHERE c.ft_state = 'missing';

-- name: is_erased
-- An expression: whether a tombstone bears this id. One probe of its primary key.
(SELECT EXISTS (SELECT FROM ops.erasures AS e WHERE e.kind = {kind} AND e.id = {id}));

-- name: drop_reference
-- What the database itself would have made of a reference to somebody who is gone.
UPDATE {rows} AS c
SET {columns}
WHERE c.ft_writes
  AND {condition};

-- name: place_segments
-- Where the month of each row is now.
UPDATE {rows} AS c
SET ft_place = m.place
FROM unnest(%(lowers)s::timestamptz[], %(uppers)s::timestamptz[], %(places)s::text[])
    AS m (lower, upper, place)
WHERE c.created_at >= m.lower
  AND c.created_at < m.upper;

-- name: months_in_archive
-- Months of which a generation has left the database. A few hundred rows of the archive's ledger.
SELECT DISTINCT month
FROM ops.archive_status
WHERE purged_at IS NOT NULL;

-- name: count_states
-- What became of the rows of one table.
SELECT ft_state, count(*), count(*) FILTER (WHERE ft_writes)
FROM {rows}
GROUP BY ft_state
ORDER BY ft_state;

-- name: sample_states
-- A few rows of each state that somebody may want to look at, by their keys alone.
SELECT s.ft_state, s.key, s.ft_why
FROM (
    SELECT
        c.ft_state,
        concat_ws(', ', {key}) AS key,
        c.ft_why,
        row_number() OVER (PARTITION BY c.ft_state ORDER BY {key}) AS number
    FROM {rows} AS c
    WHERE c.ft_state <> 'same'
) AS s
WHERE s.number <= %(sample)s
ORDER BY s.ft_state, s.number;

-- name: digest_rows
-- What was decided about each row, whatever their order: how many, and two sums of hashes. Of a row
-- that is to be overwritten, what stands in its place now counts, too. Reads the copied rows, and by
-- their keys those that are to be overwritten.
SELECT
    count(*) AS rows,
    coalesce(sum(hashtextextended(decided.row, 0)::numeric), 0) AS hashes,
    coalesce(sum(hashtextextended(decided.row, 1)::numeric), 0) AS others
FROM (
    SELECT concat_ws(' ', jsonb_build_array({key}), c.ft_state, c.ft_writes, now_there.row) AS row
    FROM {rows} AS c
    LEFT JOIN LATERAL (
        SELECT (l.*)::text AS row
        FROM {live} AS l
        WHERE c.ft_writes
          AND c.ft_state = 'changed'
          AND {same_key}
    ) AS now_there ON true
) AS decided;

-- name: reasons
-- Why rows are not written, and how many of them for each reason.
SELECT ft_state, ft_why, count(*)
FROM {rows}
WHERE ft_why IS NOT NULL
  AND NOT ft_writes
GROUP BY ft_state, ft_why
ORDER BY count(*) DESC, ft_why;

-- name: create_texts
-- A temporary table that takes whatever a copy has, whatever the types are today; its own transaction's.
CREATE TEMPORARY TABLE {texts} (
    {columns},
    ft_families uuid[],
    ft_number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY
) ON COMMIT DROP;

-- name: create_shape
-- The type of a row of the columns that both sides have, as the live table has them. It holds nothing.
CREATE TEMPORARY TABLE {shape} ON COMMIT DROP AS
SELECT {columns}
FROM {table}
WITH NO DATA;

-- name: take_texts
-- Texts read by the types' own input, as COPY reads them: nothing is cut off. OFFSET 0 keeps a row from
-- being read once for each of its columns.
INSERT INTO {rows} ({columns}, ft_families, ft_number)
SELECT {fields}, t.ft_families, t.ft_number
FROM (
    SELECT {row}::text::{shape} AS taken, t.ft_families, t.ft_number
    FROM {texts} AS t
    WHERE t.ft_number BETWEEN coalesce(%(first)s::bigint, 0)
        AND coalesce(%(last)s::bigint, 9223372036854775807)
    OFFSET 0
) AS t;

-- name: block_texts
-- Rows that today's types don't take: their keys, and why.
INSERT INTO {rows} ({columns}, ft_families, ft_number, ft_state, ft_why)
SELECT {fields}, t.ft_families, t.ft_number, 'blocked', %(why)s
FROM (
    SELECT {row}::text::{shape} AS taken, t.ft_families, t.ft_number
    FROM {texts} AS t
    WHERE t.ft_number BETWEEN %(first)s AND %(last)s
    OFFSET 0
) AS t;

-- name: block_rounded
-- Rows of which a type of today has taken another value than the copy has.
UPDATE {rows} AS c
SET ft_state = 'blocked', ft_why = %(why)s
FROM {texts} AS t
WHERE t.ft_number = c.ft_number
  AND c.ft_state = 'missing'
  AND c.{column}::{type}::text IS DISTINCT FROM t.{column};

-- name: barred
-- What this role may not do with some tables, and whether a policy would hide rows of them from it.
-- Catalog reads only.
SELECT
    t.name,
    row_security_active(t.name) AS is_filtered,
    has_table_privilege(t.name, 'SELECT') OR has_any_column_privilege(t.name, 'SELECT') AS may_read,
    has_table_privilege(t.name, 'INSERT') OR has_any_column_privilege(t.name, 'INSERT') AS may_insert
FROM unnest(%(tables)s::text[]) AS t (name)
WHERE to_regclass(t.name) IS NOT NULL
ORDER BY t.name;
