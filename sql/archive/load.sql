-- name: create_scratch
-- A table of an archive's columns and nothing else, without WAL: what is loaded here is a copy, and is
-- gone before a vacuum of it would pay.
CREATE UNLOGGED TABLE {scratch} ({columns}) WITH (autovacuum_enabled = false);

-- name: drop_scratch
-- A table that only this month's run uses.
DROP TABLE IF EXISTS {scratch};
