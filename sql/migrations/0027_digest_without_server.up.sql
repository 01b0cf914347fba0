-- The digest that needs no PostgreSQL, by table: of the values as they are archived, computed while they
-- are exported. NULL for generations that were exported before.
ALTER TABLE ops.archive ADD COLUMN sha256 jsonb;
