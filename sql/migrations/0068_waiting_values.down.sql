-- Each value as JSON has it again. One of a table that is not there any more stays as it is.
DO $$
DECLARE
    waiting record;
BEGIN
    FOR waiting IN
        SELECT
            w.table_name,
            string_agg(
                format('(w.row ->> %L)::%s AS %I', a.attname,
                    format_type(a.atttypid, a.atttypmod), a.attname),
                ', ' ORDER BY a.attnum
            ) AS columns
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
            'SET row = (SELECT row_to_json(x) FROM (SELECT %s) AS x) WHERE w.table_name = %L',
            waiting.columns, waiting.table_name
        );
    END LOOP;
END
$$;

CREATE OR REPLACE VIEW ops.waiting_links AS
SELECT
    c.id, c.source_segment_id, c.target_segment_id, c.link_type, c.created_by, c.created_at,
    c.metadata, w.thawed_month
FROM ops.waiting_rows AS w
CROSS JOIN LATERAL json_populate_record(NULL::public.content_links, w.row) AS c
WHERE w.table_name = 'content_links';
