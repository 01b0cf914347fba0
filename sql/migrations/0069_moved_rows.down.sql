-- Tombstones of places name no row to what was before: they go with the functions that know them.
DO $$
DECLARE
    shared regclass;
    trigger_name text;
    relation regclass;
BEGIN
    FOR shared IN SELECT s.relation FROM ops.shared_tables() AS s LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS record_moved_row ON %s', shared);
        FOR relation IN
            SELECT shared
            UNION
            SELECT tree.relid FROM pg_catalog.pg_partition_tree(shared) AS tree
        LOOP
            EXECUTE format('DROP TRIGGER IF EXISTS keep_tombstones ON %s', relation);
        END LOOP;
    END LOOP;
END
$$;
DELETE FROM ops.erased_rows WHERE key::jsonb -> -1 ? 'at';

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

CREATE OR REPLACE FUNCTION ops.track_shared_rows(relation regclass, key text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER record_erased_row AFTER DELETE ON %s '
        'FOR EACH ROW EXECUTE FUNCTION ops.record_erased_row(%L)',
        relation, array_to_string(key, ',')
    );
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER forget_erased_row AFTER INSERT ON %s '
        'FOR EACH ROW EXECUTE FUNCTION ops.forget_erased_row(%L)',
        relation, array_to_string(key, ',')
    );
    EXECUTE format(
        'ALTER TABLE %s ENABLE ALWAYS TRIGGER record_erased_row, '
        'ENABLE ALWAYS TRIGGER forget_erased_row',
        relation
    );
END
$$;

DO $$
DECLARE
    shared regclass;
BEGIN
    FOR shared IN SELECT s.relation FROM ops.shared_tables() AS s LOOP
        PERFORM ops.track_shared_rows(
            shared, CASE WHEN shared = 'public.content_links'::regclass THEN '{id}' ELSE '{}' END::text[]
        );
    END LOOP;
END
$$;

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
    FROM ops.names_of_row(TG_RELID, to_jsonb(OLD)) AS t
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION ops.forget_erased_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM ops.erased_rows AS e
    USING ops.names_of_row(TG_RELID, to_jsonb(NEW)) AS t
    WHERE e.key = t.key
      AND e.table_name IN (SELECT ops.names_of(t.name));
    RETURN NULL;
END
$$;

DROP FUNCTION ops.record_moved_row();
DROP FUNCTION ops.refuse_shared_truncate();
DROP FUNCTION ops.places_of_row(oid, jsonb, text);
DROP FUNCTION ops.ends_of_shared(regclass);
