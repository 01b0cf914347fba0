-- What belongs to a held segment is held in whatever table it lies: also in those that later migrations
-- bring. They get their triggers when a hold is placed, when a month is moved, and at the end of
-- ft-ops migrate run.

-- The tables whose rows go with a segment's key, over any number of foreign keys.
CREATE FUNCTION ops.content_tables() RETURNS TABLE (relation regclass)
    LANGUAGE sql STABLE
    AS $$
    WITH RECURSIVE content (relation) AS (
        SELECT 'public.content_segment_keys'::regclass
        UNION
        SELECT con.conrelid::regclass
        FROM content AS above
        JOIN pg_catalog.pg_constraint AS con ON con.confrelid = above.relation
        WHERE con.contype = 'f'
          AND con.confdeltype = 'c'
          AND con.conparentid = 0
    )
    SELECT c.relation
    FROM content AS c
    WHERE c.relation <> 'public.content_segment_keys'::regclass
$$;

-- Which standing hold holds a row of such a table: by what it belongs to, or by its author. NULL, too,
-- once what it belongs to is gone: whoever removed that was asked then.
CREATE FUNCTION ops.hold_on_row(relation regclass, line jsonb) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    reference record;
    above jsonb;
    hold bigint;
BEGIN
    FOR reference IN
        SELECT
            con.confrelid::regclass AS parent,
            (
                SELECT string_agg(format('p.%I = c.%I', pa.attname, ca.attname), ' AND ')
                FROM unnest(con.conkey, con.confkey) AS k (child, parent)
                JOIN pg_attribute AS ca ON ca.attrelid = con.conrelid AND ca.attnum = k.child
                JOIN pg_attribute AS pa ON pa.attrelid = con.confrelid AND pa.attnum = k.parent
            ) AS matches
        FROM pg_constraint AS con
        WHERE con.conrelid = relation
          AND con.contype = 'f'
          AND (con.confdeltype = 'c' OR con.confrelid = 'public.users'::regclass)
    LOOP
        EXECUTE format(
            'SELECT to_jsonb(p) FROM %s AS p, jsonb_populate_record(NULL::%s, $1) AS c WHERE %s',
            reference.parent, relation, reference.matches
        ) INTO above USING line;
        CONTINUE WHEN above IS NULL;
        CASE reference.parent
            WHEN 'public.content_segment_keys'::regclass THEN
                hold := ops.hold_on_key((above ->> 'id')::uuid);
            WHEN 'public.threads'::regclass THEN
                hold := ops.hold_on_thread(
                    (above ->> 'id')::uuid, (above ->> 'memory_book_id')::uuid,
                    (above ->> 'started_by')::uuid
                );
            WHEN 'public.memory_books'::regclass THEN
                hold := ops.hold_on_book(
                    (above ->> 'id')::uuid, (above ->> 'family_id')::uuid,
                    (above ->> 'created_by')::uuid
                );
            WHEN 'public.users'::regclass, 'public.families'::regclass THEN
                SELECT s.hold_id INTO hold
                FROM ops.held_subjects AS s
                WHERE s.id = (above ->> 'id')::uuid
                  AND s.kind = CASE reference.parent
                      WHEN 'public.users'::regclass THEN 'user' ELSE 'family' END
                  AND s.whole
                LIMIT 1;
            ELSE
                hold := ops.hold_on_row(reference.parent, above);
        END CASE;
        EXIT WHEN hold IS NOT NULL;
    END LOOP;
    RETURN hold;
END
$$;

CREATE FUNCTION ops.refuse_held_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    AS $$
DECLARE
    hold bigint;
BEGIN
    PERFORM ops.refuse_older_snapshot();
    IF TG_OP = 'UPDATE' THEN
        IF NEW *= OLD
            OR NEW *= jsonb_populate_record(OLD, ops.generated_columns(TG_RELID))
        THEN
            RETURN NEW;
        END IF;
    END IF;
    hold := ops.hold_on_row(TG_RELID, to_jsonb(OLD));
    IF hold IS NOT NULL THEN
        PERFORM ops.refuse_for_hold(format('a row of %s', TG_TABLE_NAME), hold);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;

-- SHARE ROW EXCLUSIVE, until the transaction ends, on each table of content that nothing guards yet:
-- mostly none.
CREATE FUNCTION ops.guard_content() RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    relation regclass;
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
END
$$;

-- As before, and with what later migrations brought.
CREATE OR REPLACE FUNCTION ops.place_hold() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    INSERT INTO ops.held_subjects (id, kind, hold_id, whole)
    SELECT v.id, v.kind, NEW.id, true
    FROM (VALUES
        (NEW.family_id, 'family'),
        (NEW.book_id, 'book'),
        (NEW.thread_id, 'thread'),
        (NEW.user_id, 'user')
    ) AS v (id, kind)
    WHERE v.id IS NOT NULL;
    -- Most of it before the lock, and then what came meanwhile: whoever changes content waits for the
    -- second part only.
    PERFORM ops.record_held(NEW.id);
    PERFORM ops.guard_content();
    PERFORM ops.count_holds();
    PERFORM ops.record_held(NEW.id);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION ops.guard_segments(relation regclass) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER keep_keys BEFORE TRUNCATE ON %s '
        'FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate()',
        relation
    );
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER refuse_held_alone BEFORE UPDATE OR DELETE ON %s '
        'FOR EACH ROW WHEN (pg_sequence_last_value(''ops.standing_holds'') IS DISTINCT FROM 0) '
        'EXECUTE FUNCTION ops.refuse_held_segment()',
        relation
    );
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER refuse_held_alone', relation);
    PERFORM ops.record_authors(relation);
    PERFORM ops.guard_content();
END
$$;

REVOKE EXECUTE ON FUNCTION
    ops.content_tables(), ops.hold_on_row(regclass, jsonb), ops.guard_content()
    FROM PUBLIC;

-- Nor does session_replication_role silence what refuses a TRUNCATE.
ALTER TABLE photo_narrations ENABLE ALWAYS TRIGGER keep_held;
ALTER TABLE content_tags ENABLE ALWAYS TRIGGER keep_held;
ALTER TABLE content_links ENABLE ALWAYS TRIGGER keep_held;
ALTER TABLE content_segment_keys ENABLE ALWAYS TRIGGER keep_keys;

SELECT ops.guard_content();
