-- The oldest tables of this database, those of the server and TOAST included: each of them is
-- vacuumed by force on its own. A table's own setting can only lower the age. Reads catalogs.
SELECT
    c.oid::regclass::text AS name,
    age(c.relfrozenxid)::bigint AS transaction_age,
    mxid_age(c.relminmxid)::bigint AS multixact_age,
    age(c.relfrozenxid) / least(options.freeze, settings.freeze) AS transaction_share,
    mxid_age(c.relminmxid) / least(options.multixact, settings.multixact) AS multixact_share
FROM pg_class AS c
CROSS JOIN (
    SELECT
        current_setting('autovacuum_freeze_max_age')::float8 AS freeze,
        current_setting('autovacuum_multixact_freeze_max_age')::float8 AS multixact
) AS settings
CROSS JOIN LATERAL (
    SELECT
        max(option_value::float8) FILTER (WHERE option_name = 'autovacuum_freeze_max_age')
            AS freeze,
        max(option_value::float8) FILTER (WHERE option_name = 'autovacuum_multixact_freeze_max_age')
            AS multixact
    FROM pg_options_to_table(c.reloptions)
    WHERE option_name IN ('autovacuum_freeze_max_age', 'autovacuum_multixact_freeze_max_age')
) AS options
WHERE c.relkind IN ('r', 'm', 't')
  AND c.relpersistence <> 't'
ORDER BY greatest(
    age(c.relfrozenxid) / least(options.freeze, settings.freeze),
    mxid_age(c.relminmxid) / least(options.multixact, settings.multixact)
) DESC, name
LIMIT 20;
