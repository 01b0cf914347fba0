-- The main file of every relation of this database, by its path below the data folder. Catalog
-- reads only.
SELECT
    pg_relation_filepath(c.oid) AS path,
    c.oid::regclass::text AS relation
FROM pg_class AS c
WHERE pg_relation_filepath(c.oid) IS NOT NULL;
