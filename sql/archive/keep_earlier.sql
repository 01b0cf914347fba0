-- name: month_has_keys
-- Whether the database has segments of a month, in whatever table. A range of
-- idx_content_segment_keys_created.
SELECT EXISTS (
    SELECT
    FROM content_segment_keys AS k
    WHERE k.created_at >= {lower}
      AND k.created_at < {upper}
);

-- name: stage_listed_segments
-- A temporary table of the session: the segments that the lists of proven generations name. Place 1 is
-- the newest.
CREATE TEMPORARY TABLE listed_segments (
    place integer NOT NULL,
    segment_id uuid NOT NULL,
    thread_id uuid,
    rows integer,
    low bigint,
    high bigint
);

-- name: stage_listed_shared
-- A temporary table of the session: the shared rows that the lists name.
CREATE TEMPORARY TABLE listed_shared (
    name text NOT NULL,
    key text NOT NULL
);

-- name: drop_lists
-- The session's own.
DROP TABLE IF EXISTS pg_temp.listed_segments, pg_temp.listed_shared, pg_temp.earlier;

-- name: find_earlier
-- Segments of which the database has another version than the newest list names, with all that belongs
-- to each alone. Reads the month's rows in the database.
CREATE TEMPORARY TABLE earlier AS
SELECT newest.segment_id
FROM (
    SELECT DISTINCT ON (l.segment_id) l.*
    FROM listed_segments AS l
    ORDER BY l.segment_id, l.place
) AS newest
JOIN content_segment_keys AS k ON k.id = newest.segment_id
LEFT JOIN ({now}) AS now ON now.segment_id = newest.segment_id
WHERE (now.rows, now.low, now.high) IS DISTINCT FROM (newest.rows, newest.low, newest.high);

-- name: count_earlier
-- How many they are, and one of them.
SELECT count(*), min(segment_id::text)
FROM earlier;

-- name: count_absent
-- Listed segments that the database does not have and that nobody has erased, and one of them. A hash
-- anti-join; probes of tombstones.
SELECT count(DISTINCT l.segment_id), min(l.segment_id::text)
FROM listed_segments AS l
WHERE NOT EXISTS (SELECT FROM content_segment_keys AS k WHERE k.id = l.segment_id)
  AND NOT EXISTS (
      SELECT
      FROM ops.erasures AS e
      WHERE e.kind = 'segment' AND e.id = l.segment_id
         OR e.kind = 'thread' AND e.id = l.thread_id
  );

-- name: count_absent_shared
-- The same of a table of shared rows. A hash anti-join with the table: in a restored database before
-- anybody else is let in.
SELECT count(DISTINCT l.key), min(l.key)
FROM listed_shared AS l
WHERE l.name IN (SELECT ops.names_of({table}))
  AND NOT EXISTS (SELECT FROM {rows} AS c WHERE {key} = l.key)
  AND NOT EXISTS (
      SELECT
      FROM ops.waiting_rows AS w
      WHERE w.key = l.key AND w.table_name IN (SELECT ops.names_of({table}))
  )
  AND NOT EXISTS (
      SELECT
      FROM ops.erased_rows AS e
      WHERE e.key = l.key AND e.table_name IN (SELECT ops.names_of({table}))
  );

-- name: rows_of_month
-- A query: the segments of a month in one of the tables that may have them.
SELECT {columns}
FROM {segments} AS s
WHERE s.created_at >= {lower}
  AND s.created_at < {upper};

-- name: note_earlier
-- With what belongs to each now. Row locks on new rows of the operations' own.
INSERT INTO ops.earlier_segments (segment_id, month, had)
SELECT e.segment_id, {month}, coalesce(h.had, '{{}}')
FROM earlier AS e
LEFT JOIN (
    SELECT b.segment_id, array_agg(b.line) AS had
    FROM ({belongings}) AS b
    GROUP BY b.segment_id
) AS h ON h.segment_id = e.segment_id
-- It was noted before, by a recovery that this one followed: what it had then and what it has now.
ON CONFLICT (segment_id) DO UPDATE
SET had = ARRAY(SELECT unnest(earlier_segments.had) UNION SELECT unnest(excluded.had));

-- name: keys_of_earlier
-- A relation: the keys of these segments.
(
    SELECT k.id, k.created_at, k.thread_id, k.sequence_number
    FROM content_segment_keys AS k
    JOIN earlier AS e ON e.segment_id = k.id
);

-- name: named_belongings
-- A query: what belongs to segments, each row by its table and key.
SELECT s.id AS segment_id, {table} || ' ' || {key} AS line
FROM {rows};

-- name: earlier_of_month
-- How many segments of a month wait for its thaw, and one of them. By the month's index.
SELECT count(*), min(e.segment_id::text)
FROM ops.earlier_segments AS e
JOIN content_segment_keys AS k ON k.id = e.segment_id
WHERE e.month = %(month)s;

-- name: candidate_places
-- Of tombstones of places, by their number, those that this database does not know: neither that the row
-- was there and moved, nor that it is there again. With the key of the row.
SELECT t.number, (t.key::jsonb - (-1))::text
FROM unnest(%(numbers)s::integer[], %(names)s::text[], %(keys)s::text[], %(moments)s::timestamptz[])
    AS t (number, name, key, erased_at)
WHERE NOT EXISTS (
        SELECT FROM ops.erased_rows AS e WHERE (e.table_name, e.key) = (t.name, t.key)
    )
  AND NOT EXISTS (
      SELECT
      FROM ops.unshipped_records AS u
      WHERE u.kind = 'returned_row'
        AND (u.record ->> 'table_name', u.record ->> 'key') = (t.name, t.key)
        AND (u.record ->> 'erased_at')::timestamptz = t.erased_at
  );

-- name: note_place_again
-- For the next shipment: the row is in its former place again.
INSERT INTO ops.unshipped_records (kind, record)
VALUES ('returned_row', %(record)s);

-- name: thaw_earlier_rows
-- What belongs to segments that are in the database as they were earlier, and was not there then. Row
-- locks on new rows only.
INSERT INTO {live} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {values}
FROM {rows}
JOIN thaw_verdicts AS v ON v.id = s.id AND v.left_out = 'in the database already'
JOIN ops.earlier_segments AS e ON e.segment_id = s.id
WHERE {references}
  AND {violation} IS NULL
  AND NOT {known}
  AND NOT e.had && ARRAY(SELECT n.name || ' ' || {key} FROM ops.names_of({table}) AS n (name))
{conflict};

-- name: thaw_earlier_known
-- How many such rows the database has under another key: deleted and made anew after its moment.
SELECT count(*)
FROM {rows}
JOIN thaw_verdicts AS v ON v.id = s.id AND v.left_out = 'in the database already'
JOIN ops.earlier_segments AS e ON e.segment_id = s.id
WHERE {references}
  AND {known}
  AND NOT e.had && ARRAY(SELECT n.name || ' ' || {key} FROM ops.names_of({table}) AS n (name));

-- name: thaw_earlier_left
-- Their segments of which such a row did not come back although nothing that it needs is gone, and the
-- database has none like it.
SELECT DISTINCT s.id
FROM {rows}
JOIN thaw_verdicts AS v ON v.id = s.id AND v.left_out = 'in the database already'
JOIN ops.earlier_segments AS e ON e.segment_id = s.id
WHERE {references}
  AND NOT {known}
  AND NOT e.had && ARRAY(SELECT n.name || ' ' || {key} FROM ops.names_of({table}) AS n (name))
  AND NOT EXISTS (SELECT FROM {live} AS live WHERE {matches});

-- name: forget_earlier
-- Those of a month that its thaw has looked at: of any that it did not find, or found erased, the archive
-- has nothing more to bring.
DELETE FROM ops.earlier_segments AS e
WHERE e.month = {month}
  AND NOT e.segment_id = ANY ({left}::uuid[])
  AND NOT EXISTS (
      SELECT FROM thaw_verdicts AS v WHERE v.id = e.segment_id AND v.left_out = 'of other families'
  );

-- name: uniques_of
-- By which columns no two rows of some tables may be alike, whatever they hold. Catalog reads only.
SELECT
    i.indrelid,
    (
        SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        WHERE k.place <= i.indnkeyatts
    )
FROM pg_index AS i
WHERE i.indrelid = ANY (%(tables)s::oid[])
  AND i.indisunique
  AND i.indpred IS NULL
  AND i.indexprs IS NULL
ORDER BY i.indexrelid;
