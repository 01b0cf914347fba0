CREATE OR REPLACE FUNCTION ops.named_row(relation oid, line jsonb, OUT name text, OUT key text)
    LANGUAGE sql STABLE
    AS $$
    SELECT
        CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname,
        (
            SELECT jsonb_agg(line -> a.attname::text ORDER BY k.place)::text
            FROM pg_catalog.pg_constraint AS con
            CROSS JOIN LATERAL unnest(con.conkey) WITH ORDINALITY AS k (attnum, place)
            JOIN pg_catalog.pg_attribute AS a ON a.attrelid = con.conrelid AND a.attnum = k.attnum
            WHERE con.conrelid = c.oid
              AND con.contype = 'p'
        )
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = coalesce(pg_catalog.pg_partition_root(relation)::oid, relation)
$$;
