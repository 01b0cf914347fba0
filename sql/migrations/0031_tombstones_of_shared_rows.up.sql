-- A shared row (a link) that is deleted by itself leaves a tombstone in whatever table it lies: also in one
-- that a later migration brought and did not name, in a partition, and under whatever name its table or
-- its key had or will have.

-- The tables of content whose rows may belong to several segments: more than one way leads to a key.
CREATE FUNCTION ops.shared_tables() RETURNS TABLE (relation regclass)
    LANGUAGE sql STABLE
    AS $$
    WITH RECURSIVE paths AS (
        SELECT con.conrelid AS child, ARRAY[con.conrelid] AS seen
        FROM pg_catalog.pg_constraint AS con
        WHERE con.contype = 'f'
          AND con.confdeltype = 'c'
          AND con.conparentid = 0
          AND con.confrelid = 'public.content_segment_keys'::regclass
        UNION ALL
        SELECT con.conrelid, con.conrelid || p.seen
        FROM paths AS p
        JOIN pg_catalog.pg_constraint AS con ON con.confrelid = p.child
        WHERE con.contype = 'f'
          AND con.confdeltype = 'c'
          AND con.conparentid = 0
          AND con.conrelid <> ALL (p.seen)
    )
    SELECT p.child::regclass
    FROM paths AS p
    GROUP BY p.child
    HAVING count(*) > 1
$$;

-- A row as tombstones name it: by its table, whose partition it may lie in, and by the values of its key.
CREATE FUNCTION ops.named_row(relation oid, line jsonb, OUT name text, OUT key text)
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

-- What a table is called, and was called before, as migrations have declared.
CREATE FUNCTION ops.names_of(name text) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$
    WITH RECURSIVE names (name) AS (
        SELECT names_of.name
        UNION
        SELECT c.table_name
        FROM names AS n
        JOIN ops.column_changes AS c
            ON c.new_name = n.name AND c.column_name = '' AND c.change = 'renamed'
    )
    SELECT n.name FROM names AS n
$$;
REVOKE EXECUTE ON FUNCTION ops.shared_tables(), ops.named_row(oid, jsonb), ops.names_of(text)
    FROM PUBLIC;

-- As before, and by the table and the key of today. TG_ARGV is not asked any more.
CREATE OR REPLACE FUNCTION ops.record_erased_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF coalesce(current_setting('ft_ops.removes', true), '') = 'on'
        AND pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER')
    THEN
        RETURN NULL;
    END IF;
    INSERT INTO ops.erased_rows (table_name, key)
    SELECT t.name, t.key
    FROM ops.named_row(TG_RELID, to_jsonb(OLD)) AS t
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION ops.forget_erased_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM ops.erased_rows AS e
    USING ops.named_row(TG_RELID, to_jsonb(NEW)) AS t
    WHERE e.key = t.key
      AND e.table_name IN (SELECT ops.names_of(t.name));
    RETURN NULL;
END
$$;

-- As before, and for tables of shared rows.
CREATE OR REPLACE FUNCTION ops.guard_content() RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    relation regclass;
    trigger_name text;
    refusal text;
BEGIN
    FOR relation IN
        SELECT t.relation
        FROM ops.content_tables() AS t
        WHERE NOT EXISTS (
            SELECT
            FROM pg_catalog.pg_trigger AS tg
            WHERE tg.tgrelid = t.relation
              AND tg.tgname = 'refuse_held'
        )
        ORDER BY t.relation::text
    LOOP
        IF NOT pg_catalog.pg_has_role(
            (SELECT c.relowner FROM pg_catalog.pg_class AS c WHERE c.oid = relation), 'USAGE'
        ) THEN
            RAISE EXCEPTION 'no hold can hold the rows of %, which belongs to another role', relation
                USING ERRCODE = 'insufficient_privilege',
                      HINT = format('ALTER TABLE %s OWNER TO %I, and run it again.',
                                    relation, current_user);
        END IF;
        EXECUTE format(
            'CREATE TRIGGER refuse_held BEFORE UPDATE OR DELETE ON %s FOR EACH ROW '
            'WHEN (pg_sequence_last_value(''ops.standing_holds'') IS DISTINCT FROM 0) '
            'EXECUTE FUNCTION ops.refuse_held_row()',
            relation
        );
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER keep_held BEFORE TRUNCATE ON %s '
            'FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_held_truncate()',
            relation
        );
        EXECUTE format(
            'ALTER TABLE %s ENABLE ALWAYS TRIGGER refuse_held, ENABLE ALWAYS TRIGGER keep_held',
            relation
        );
    END LOOP;
    FOR relation IN
        SELECT s.relation
        FROM ops.shared_tables() AS s
        WHERE pg_catalog.pg_has_role(
                (SELECT c.relowner FROM pg_catalog.pg_class AS c WHERE c.oid = s.relation), 'USAGE'
            )
          AND NOT EXISTS (
              SELECT
              FROM pg_catalog.pg_trigger AS tg
              WHERE tg.tgrelid = s.relation
                AND tg.tgname = 'record_erased_row'
          )
        ORDER BY s.relation::text
    LOOP
        PERFORM ops.track_shared_rows(relation, '{}');
    END LOOP;
    -- A partition has its parent's row triggers, and not the one that refuses a TRUNCATE.
    FOR relation, trigger_name, refusal IN
        SELECT p.partition, p.trigger_name, p.refusal
        FROM (
            SELECT
                tree.relid AS partition,
                'keep_held' AS trigger_name,
                'ops.refuse_held_truncate()' AS refusal
            FROM ops.content_tables() AS t
            CROSS JOIN LATERAL pg_catalog.pg_partition_tree(t.relation) AS tree
            WHERE tree.level > 0
            UNION ALL
            SELECT tree.relid, 'keep_keys', 'public.refuse_truncate()'
            FROM (
                VALUES
                    ('public.content_segments'::regclass),
                    ('public.archived_content_segments'::regclass)
            ) AS parent (relation)
            CROSS JOIN LATERAL pg_catalog.pg_partition_tree(parent.relation) AS tree
            WHERE tree.level > 0
        ) AS p
        JOIN pg_catalog.pg_class AS c ON c.oid = p.partition
        WHERE pg_catalog.pg_has_role(c.relowner, 'USAGE')
          AND NOT EXISTS (
              SELECT
              FROM pg_catalog.pg_trigger AS tg
              WHERE tg.tgrelid = p.partition
                AND tg.tgname = p.trigger_name
                AND tg.tgenabled = 'A'
          )
        ORDER BY p.partition::text
    LOOP
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER %I BEFORE TRUNCATE ON %s '
            'FOR EACH STATEMENT EXECUTE FUNCTION %s',
            trigger_name, relation, refusal
        );
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', relation, trigger_name);
    END LOOP;
END
$$;

-- Every new link asks whether its key has a tombstone, whatever its table was called.
CREATE INDEX erased_rows_key ON ops.erased_rows (key);

SELECT ops.guard_content();
