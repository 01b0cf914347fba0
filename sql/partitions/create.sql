-- name: create_like
-- A table of the parent's shape, not yet its partition. ACCESS SHARE on the parent: CREATE TABLE
-- … PARTITION OF would take ACCESS EXCLUSIVE and queue every reader behind it.
CREATE TABLE {partition} (
    LIKE {parent} INCLUDING ALL
) {place};

-- name: tablespace
-- Where a parent's partitions are to lie, if not where all tables do: LIKE says so of indexes alone. Reads
-- the catalog.
SELECT s.spcname::text
FROM pg_class AS c
JOIN pg_tablespace AS s ON s.oid = c.reltablespace
WHERE c.oid = %(parent)s::regclass;

-- name: keep_keys
-- SHARE ROW EXCLUSIVE on a table that nobody knows yet. A partition has no TRUNCATE trigger of its
-- parent's, and TRUNCATE runs no other.
CREATE TRIGGER keep_keys BEFORE TRUNCATE ON {partition}
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();

-- name: keep_keys_always
-- Also under session_replication_role = replica. SHARE ROW EXCLUSIVE on that same table.
ALTER TABLE {partition} ENABLE ALWAYS TRIGGER keep_keys;

-- name: attach
-- SHARE UPDATE EXCLUSIVE on the parent, SHARE ROW EXCLUSIVE on the tables that its foreign keys
-- reference, for the milliseconds of a catalog change: the partition is empty. The bounds carry
-- their offset, so the session's TimeZone does not move them.
ALTER TABLE {parent}
    ATTACH PARTITION {partition} FOR VALUES FROM ({lower}) TO ({upper});
