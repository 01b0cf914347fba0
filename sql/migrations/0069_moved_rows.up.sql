-- A shared row (a link) that was moved to other segments, or got another key, does not come back from an
-- archive as it was before. And no TRUNCATE empties a table of shared rows: it would leave no tombstone of
-- what archives have of it.

-- The columns by which a row of such a table says what it belongs to, by their numbers, with commas.
CREATE FUNCTION ops.ends_of_shared(relation regclass) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    SELECT string_agg(DISTINCT k.attnum::text, ',' ORDER BY k.attnum::text)
    FROM pg_catalog.pg_constraint AS con
    CROSS JOIN LATERAL unnest(con.conkey) AS k (attnum)
    WHERE con.conrelid = relation
      AND con.contype = 'f'
      AND con.confdeltype = 'c'
      AND con.conparentid = 0
      AND (
          con.confrelid = 'public.content_segment_keys'::regclass
          OR con.confrelid IN (SELECT t.relation FROM ops.content_tables() AS t)
      )
$$;

-- A row as the tombstone of a place names it: by each of its keys, and by what it belongs to there.
CREATE FUNCTION ops.places_of_row(relation oid, line jsonb, ends text)
    RETURNS TABLE (name text, key text)
    LANGUAGE sql STABLE
    AS $$
    SELECT t.name, (t.key::jsonb || jsonb_build_object('at', place.ends))::text
    FROM ops.names_of_row(relation, line) AS t
    CROSS JOIN (
        SELECT jsonb_agg(line -> a.attname::text ORDER BY a.attnum) AS ends
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = coalesce(pg_catalog.pg_partition_root(relation)::oid, relation)
          AND a.attnum = ANY (string_to_array(places_of_row.ends, ',')::smallint[])
    ) AS place
$$;

-- As before, and of the place: who inserts it again under its key may mean other segments. TG_ARGV[0] are
-- the columns of ops.ends_of_shared.
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
    UNION
    SELECT t.name, t.key
    FROM ops.places_of_row(TG_RELID, to_jsonb(OLD), TG_ARGV[0]) AS t
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

-- A row that is inserted again under its key, and in its place, is deleted no more.
CREATE OR REPLACE FUNCTION ops.forget_erased_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM ops.erased_rows AS e
    USING (
        SELECT t.name, t.key
        FROM ops.names_of_row(TG_RELID, to_jsonb(NEW)) AS t
        UNION
        SELECT t.name, t.key
        FROM ops.places_of_row(TG_RELID, to_jsonb(NEW), TG_ARGV[0]) AS t
    ) AS t
    WHERE e.key = t.key
      AND e.table_name IN (SELECT ops.names_of(t.name));
    RETURN NULL;
END
$$;

-- A row that gets another key, or other segments, leaves a tombstone of the place where it was. It is no
-- erasure: no archive is rewritten because of it.
CREATE FUNCTION ops.record_moved_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    before jsonb := to_jsonb(OLD);
    since jsonb := to_jsonb(NEW);
    root oid := coalesce(pg_partition_root(TG_RELID)::oid, TG_RELID);
    changed text[] := ARRAY(
        SELECT b.key FROM jsonb_each(before) AS b WHERE b.value IS DISTINCT FROM since -> b.key
    );
BEGIN
    IF NOT EXISTS (
            SELECT
            FROM pg_attribute AS a
            WHERE a.attrelid = root
              AND a.attname = ANY (changed)
              AND (
                  a.attnum = ANY (string_to_array(TG_ARGV[0], ',')::smallint[])
                  OR EXISTS (
                      SELECT
                      FROM pg_constraint AS con
                      WHERE con.conrelid = root
                        AND con.contype = 'p'
                        AND a.attnum = ANY (con.conkey)
                  )
              )
        )
        AND NOT EXISTS (SELECT FROM ops.row_keys AS k WHERE k.columns && changed)
    THEN
        RETURN NULL;
    END IF;
    DELETE FROM ops.erased_rows AS e
    USING (
        SELECT t.name, t.key FROM ops.names_of_row(TG_RELID, since) AS t
        UNION
        SELECT t.name, t.key FROM ops.places_of_row(TG_RELID, since, TG_ARGV[0]) AS t
    ) AS t
    WHERE e.key = t.key
      AND e.table_name IN (SELECT ops.names_of(t.name));
    INSERT INTO ops.erased_rows (table_name, key)
    SELECT t.name, t.key FROM ops.places_of_row(TG_RELID, before, TG_ARGV[0]) AS t
    EXCEPT
    SELECT t.name, t.key FROM ops.places_of_row(TG_RELID, since, TG_ARGV[0]) AS t
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

CREATE FUNCTION ops.refuse_shared_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of % would bring back from the archive what it removes', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation',
              HINT = 'Delete its rows: then they stay deleted.';
END
$$;

-- As before; `key` is not asked any more. What a row belongs to is found in the catalog.
CREATE OR REPLACE FUNCTION ops.track_shared_rows(relation regclass, key text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    ends text := ops.ends_of_shared(relation);
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER record_erased_row AFTER DELETE ON %s '
        'FOR EACH ROW EXECUTE FUNCTION ops.record_erased_row(%L)',
        relation, ends
    );
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER forget_erased_row AFTER INSERT ON %s '
        'FOR EACH ROW EXECUTE FUNCTION ops.forget_erased_row(%L)',
        relation, ends
    );
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER record_moved_row AFTER UPDATE ON %s '
        'FOR EACH ROW EXECUTE FUNCTION ops.record_moved_row(%L)',
        relation, ends
    );
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER keep_tombstones BEFORE TRUNCATE ON %s '
        'FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_shared_truncate()',
        relation
    );
    EXECUTE format(
        'ALTER TABLE %s ENABLE ALWAYS TRIGGER record_erased_row, '
        'ENABLE ALWAYS TRIGGER forget_erased_row, '
        'ENABLE ALWAYS TRIGGER record_moved_row, '
        'ENABLE ALWAYS TRIGGER keep_tombstones',
        relation
    );
END
$$;
REVOKE EXECUTE ON FUNCTION
    ops.ends_of_shared(regclass), ops.places_of_row(oid, jsonb, text), ops.record_moved_row(),
    ops.refuse_shared_truncate()
    FROM PUBLIC;

-- As before, and where what a row belongs to has changed.
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
                AND tg.tgname = 'record_moved_row'
                AND tg.tgargs = convert_to(ops.ends_of_shared(s.relation), 'UTF8') || '\x00'::bytea
          )
        ORDER BY s.relation::text
    LOOP
        PERFORM ops.track_shared_rows(relation, '{}');
    END LOOP;
    -- A partition has its parent's row triggers, and not the one that refuses a TRUNCATE. The catalog is
    -- asked for them, and not pg_partition_tree, which opens each: one month that somebody has to himself
    -- would stop what is done to any other.
    FOR relation, trigger_name, refusal IN
        WITH RECURSIVE tree AS (
            SELECT link.inhparent AS root, link.inhrelid AS relid
            FROM pg_catalog.pg_inherits AS link
            WHERE NOT link.inhdetachpending
            UNION ALL
            SELECT tree.root, link.inhrelid
            FROM tree
            JOIN pg_catalog.pg_inherits AS link ON link.inhparent = tree.relid
            WHERE NOT link.inhdetachpending
        )
        SELECT p.partition, p.trigger_name, p.refusal
        FROM (
            SELECT
                tree.relid AS partition,
                'keep_held' AS trigger_name,
                'ops.refuse_held_truncate()' AS refusal
            FROM ops.content_tables() AS t
            JOIN tree ON tree.root = t.relation
            UNION ALL
            SELECT tree.relid, 'keep_tombstones', 'ops.refuse_shared_truncate()'
            FROM ops.shared_tables() AS t
            JOIN tree ON tree.root = t.relation
            UNION ALL
            SELECT tree.relid, 'keep_keys', 'public.refuse_truncate()'
            FROM tree
            WHERE tree.root IN (
                'public.content_segments'::regclass, 'public.archived_content_segments'::regclass
            )
        ) AS p
        JOIN pg_catalog.pg_class AS c ON c.oid = p.partition AND c.relispartition
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

-- SHARE ROW EXCLUSIVE on these tables for an instant.
SELECT ops.guard_content();
