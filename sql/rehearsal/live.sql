-- name: slots
-- Replication slots of the live server: no backup has them. Shared memory only.
SELECT slot_name, slot_type, coalesce(plugin, '')
FROM pg_replication_slots
WHERE NOT temporary
ORDER BY slot_name;

-- name: standbys
-- Who replicates from the live server just now. Shared memory only.
SELECT DISTINCT application_name
FROM pg_stat_replication
ORDER BY application_name;

-- name: settings
-- What the live server's files and command line set, as it shows it, in the setting's own unit.
SELECT
    name,
    setting,
    vartype,
    category LIKE 'Query Tuning%' OR name IN ('work_mem', 'hash_mem_multiplier') AS is_planners,
    unit
FROM pg_settings
WHERE source IN ('configuration file', 'command line', 'environment variable')
ORDER BY name;
