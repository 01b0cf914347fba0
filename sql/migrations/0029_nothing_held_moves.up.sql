-- What a hold holds does not move along with what bears it, and no TRUNCATE passes a hold by: neither of
-- a partition, nor under session_replication_role = replica.

-- Which standing hold holds a row that belongs to this one, over any number of foreign keys: a tag of a
-- held user on somebody else's segment, or a link to a segment that is held. NULL: none. A few probes of
-- indexes for each such row.
CREATE FUNCTION ops.hold_below(above regclass, line jsonb, depth integer DEFAULT 0) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    reference record;
    belonging jsonb;
    hold bigint;
BEGIN
    -- A chain of foreign keys that comes back to itself is no content that is archived.
    IF depth > 8 THEN
        RETURN NULL;
    END IF;
    FOR reference IN
        SELECT
            con.conrelid::regclass AS child,
            (
                SELECT string_agg(format('c.%I = p.%I', ca.attname, pa.attname), ' AND ')
                FROM unnest(con.conkey, con.confkey) AS k (child, parent)
                JOIN pg_attribute AS ca ON ca.attrelid = con.conrelid AND ca.attnum = k.child
                JOIN pg_attribute AS pa ON pa.attrelid = con.confrelid AND pa.attnum = k.parent
            ) AS matches
        FROM pg_constraint AS con
        WHERE con.confrelid = above
          AND con.contype = 'f'
          AND con.confdeltype = 'c'
          AND con.conparentid = 0
    LOOP
        FOR belonging IN EXECUTE format(
            'SELECT to_jsonb(c) FROM %s AS c, jsonb_populate_record(NULL::%s, $1) AS p WHERE %s',
            reference.child, above, reference.matches
        ) USING line LOOP
            hold := coalesce(
                ops.hold_on_row(reference.child, belonging),
                ops.hold_below(reference.child, belonging, depth + 1)
            );
            IF hold IS NOT NULL THEN
                RETURN hold;
            END IF;
        END LOOP;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE FUNCTION ops.hold_below_thread(thread uuid) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
BEGIN
    RETURN (
        SELECT found.hold
        FROM public.content_segment_keys AS k
        CROSS JOIN LATERAL ops.hold_below('public.content_segment_keys', to_jsonb(k)) AS found (hold)
        WHERE k.thread_id = thread
          AND found.hold IS NOT NULL
        LIMIT 1
    );
END
$$;

-- As before, and with what belongs to what moves.
CREATE OR REPLACE FUNCTION ops.refuse_held_segment() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    AS $$
DECLARE
    edited record;
    hold bigint;
    moves boolean := false;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM ops.refuse_older_snapshot();
    END IF;
    IF TG_OP = 'UPDATE' THEN
        moves := NEW.thread_id <> OLD.thread_id;
    END IF;
    -- Of most rows this tells at once that nothing holds them.
    IF NOT moves AND NOT EXISTS (
        SELECT FROM ops.held_subjects AS s WHERE s.id IN (OLD.id, OLD.thread_id, OLD.user_id)
    ) AND coalesce(pg_sequence_last_value('ops.standing_holds'), 7) & 2 = 0 THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        edited := NEW;
        edited.view_count := OLD.view_count;
        edited.reaction_count := OLD.reaction_count;
        IF edited *= OLD
            OR edited *= jsonb_populate_record(OLD, ops.generated_columns(TG_RELID))
        THEN
            RETURN NEW;
        END IF;
    END IF;
    hold := ops.hold_on_segment(OLD.id, OLD.created_at, OLD.thread_id, OLD.user_id);
    IF hold IS NULL AND moves THEN
        SELECT ops.hold_below('public.content_segment_keys', to_jsonb(k)) INTO hold
        FROM public.content_segment_keys AS k
        WHERE k.id = OLD.id;
    END IF;
    -- In a month that stands alone, a row whose key is gone was purged before it
    -- was held.
    IF hold IS NOT NULL AND TG_NAME = 'refuse_held_alone' AND NOT EXISTS (
        SELECT FROM public.content_segment_keys AS k WHERE k.id = OLD.id
    ) THEN
        hold := NULL;
    END IF;
    IF hold IS NOT NULL THEN
        PERFORM ops.refuse_for_hold(format('segment %s', OLD.id), hold);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION ops.refuse_held_thread() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    AS $$
DECLARE
    edited record;
    hold bigint;
    leaves boolean := true;
BEGIN
    PERFORM ops.refuse_older_snapshot();
    IF TG_OP = 'UPDATE' THEN
        edited := NEW;
        edited.participant_count := OLD.participant_count;
        edited.segment_count := OLD.segment_count;
        edited.last_segment_at := OLD.last_segment_at;
        edited.is_locked := OLD.is_locked;
        edited.updated_at := OLD.updated_at;
        IF edited *= OLD
            OR edited *= jsonb_populate_record(OLD, ops.generated_columns(TG_RELID))
        THEN
            RETURN NEW;
        END IF;
        leaves := (NEW.id, NEW.memory_book_id) <> (OLD.id, OLD.memory_book_id);
    END IF;
    hold := ops.hold_on_thread(OLD.id, OLD.memory_book_id, OLD.started_by);
    IF hold IS NULL AND leaves THEN
        hold := ops.hold_within_thread(OLD.id);
    END IF;
    -- A deletion is asked row by row, as it takes them along.
    IF hold IS NULL AND leaves AND TG_OP = 'UPDATE' THEN
        hold := ops.hold_below_thread(OLD.id);
    END IF;
    IF hold IS NOT NULL THEN
        PERFORM ops.refuse_for_hold(format('thread %s', OLD.id), hold);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION ops.refuse_held_book() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    AS $$
DECLARE
    edited record;
    hold bigint;
    leaves boolean := true;
BEGIN
    PERFORM ops.refuse_older_snapshot();
    IF TG_OP = 'UPDATE' THEN
        edited := NEW;
        edited.thread_count := OLD.thread_count;
        edited.last_activity_at := OLD.last_activity_at;
        edited.updated_at := OLD.updated_at;
        IF edited *= OLD
            OR edited *= jsonb_populate_record(OLD, ops.generated_columns(TG_RELID))
        THEN
            RETURN NEW;
        END IF;
        leaves := (NEW.id, NEW.family_id) <> (OLD.id, OLD.family_id);
    END IF;
    hold := ops.hold_on_book(OLD.id, OLD.family_id, OLD.created_by);
    IF hold IS NULL AND leaves THEN
        SELECT found.hold INTO hold
        FROM public.threads AS t
        CROSS JOIN LATERAL coalesce(
            ops.hold_on_thread(t.id, t.memory_book_id, t.started_by),
            ops.hold_within_thread(t.id)
        ) AS found (hold)
        WHERE t.memory_book_id = OLD.id
          AND found.hold IS NOT NULL
        LIMIT 1;
    END IF;
    IF hold IS NULL AND leaves AND TG_OP = 'UPDATE' THEN
        SELECT found.hold INTO hold
        FROM public.threads AS t
        CROSS JOIN LATERAL ops.hold_below_thread(t.id) AS found (hold)
        WHERE t.memory_book_id = OLD.id
          AND found.hold IS NOT NULL
        LIMIT 1;
    END IF;
    IF hold IS NOT NULL THEN
        PERFORM ops.refuse_for_hold(format('book %s', OLD.id), hold);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;

-- As before, and for each partition.
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

-- As before, and whatever session_replication_role says.
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
    EXECUTE format(
        'ALTER TABLE %s ENABLE ALWAYS TRIGGER keep_keys, ENABLE ALWAYS TRIGGER refuse_held_alone',
        relation
    );
    PERFORM ops.record_authors(relation);
    PERFORM ops.guard_content();
END
$$;

-- As before, and with a tombstone: a row that is deleted from a month which stands alone may be in the
-- archive, and would come back with it.
CREATE OR REPLACE FUNCTION ops.forget_detached_segment() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM public.content_segment_keys
    WHERE id = OLD.id
      AND created_at = OLD.created_at;
    INSERT INTO ops.erasures (kind, id, month)
    VALUES ('segment', OLD.id, date_trunc('month', OLD.created_at AT TIME ZONE 'UTC'))
    ON CONFLICT (kind, id) DO NOTHING;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION ops.hold_below(regclass, jsonb, integer), ops.hold_below_thread(uuid)
    FROM PUBLIC;

-- The locks of what follows last until the end: SHARE ROW EXCLUSIVE on every month of content.
ALTER TABLE content_segments ENABLE ALWAYS TRIGGER keep_keys;
ALTER TABLE archived_content_segments ENABLE ALWAYS TRIGGER keep_keys;
SELECT ops.guard_content();
SELECT ops.guard_segments(relation) FROM ops.months_alone();
