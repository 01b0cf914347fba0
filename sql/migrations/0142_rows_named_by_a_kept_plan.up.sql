-- A link that is written, moved or deleted is named by its table and its key, which the catalog tells. As a function
-- in SQL that question was planned anew at each call, four times a link: four fifths of the time of a DELETE. In
-- PL/pgSQL a session plans it once. It answers as before.
--
-- Locks: of this function alone, for a moment.
CREATE OR REPLACE FUNCTION ops.named_row(relation oid, line jsonb, OUT name text, OUT key text)
    LANGUAGE plpgsql STABLE
    AS $$
#variable_conflict use_column
BEGIN
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
    INTO named_row.name, named_row.key
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = coalesce(pg_catalog.pg_partition_root(named_row.relation)::oid, named_row.relation);
END
$$;
