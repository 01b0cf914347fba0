-- A row that waits for its other end keeps each value as its text, by its column's name: as a JSON value,
-- JSON's own null was no longer to be told from NULL, and an array lost its bounds.

-- Links that wait, as links.
CREATE OR REPLACE VIEW ops.waiting_links AS
SELECT
    (w.row ->> 'id')::uuid AS id,
    (w.row ->> 'source_segment_id')::uuid AS source_segment_id,
    (w.row ->> 'target_segment_id')::uuid AS target_segment_id,
    (w.row ->> 'link_type')::varchar(50) AS link_type,
    (w.row ->> 'created_by')::uuid AS created_by,
    (w.row ->> 'created_at')::timestamptz AS created_at,
    (w.row ->> 'metadata')::jsonb AS metadata,
    w.thawed_month
FROM ops.waiting_rows AS w
WHERE w.table_name = 'content_links';

-- Those that wait now. Of a table that is not there any more they stay as they are.
DO $$
DECLARE
    waiting record;
BEGIN
    FOR waiting IN
        SELECT
            w.table_name,
            c.oid::regclass AS relation,
            string_agg(format('%L', a.attname), ', ' ORDER BY a.attnum) AS names,
            string_agg(
                format('CASE WHEN c.%1$I IS DISTINCT FROM NULL THEN format(''%%s'', c.%1$I) END',
                    a.attname),
                ', ' ORDER BY a.attnum
            ) AS texts
        FROM (SELECT DISTINCT table_name FROM ops.waiting_rows) AS w
        JOIN pg_catalog.pg_class AS c ON c.relkind IN ('r', 'p')
        JOIN pg_catalog.pg_namespace AS n
            ON n.oid = c.relnamespace
           AND w.table_name = CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname
        JOIN pg_catalog.pg_attribute AS a
            ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        GROUP BY w.table_name, c.oid
    LOOP
        EXECUTE format(
            'UPDATE ops.waiting_rows AS w '
            'SET row = (SELECT json_object(ARRAY[%s]::text[], ARRAY[%s]::text[])) '
            'FROM ops.waiting_rows AS old '
            'CROSS JOIN LATERAL json_populate_record(NULL::%s, old.row) AS c '
            'WHERE (old.table_name, old.key, old.thawed_month) = (w.table_name, w.key, w.thawed_month) '
            'AND w.table_name = %L',
            waiting.names, waiting.texts, waiting.relation, waiting.table_name
        );
    END LOOP;
END
$$;
