-- Indexes that are gone: one that takes the name later begins anew.
DELETE FROM ops.index_usage AS known
WHERE NOT EXISTS (
    SELECT
    FROM pg_stat_user_indexes AS s
    WHERE s.schemaname = known.schema_name AND s.indexrelname = known.index_name
);
