-- name: create_scratch
-- A table of an archive's columns, without WAL: what is loaded here is a copy, and is gone before a
-- vacuum of it would pay.
CREATE UNLOGGED TABLE {scratch} ({columns}) WITH (autovacuum_enabled = false);

-- name: cast_scratch
-- Values that were archived as text, into a table of their own types. One scan of a scratch table.
INSERT INTO {scratch} ({columns})
SELECT {values}
FROM {staged};

-- name: drop_scratch
-- A table that only this month's run uses.
DROP TABLE IF EXISTS {scratch};
