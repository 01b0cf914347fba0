CREATE OR REPLACE FUNCTION ops.refuse_held_segment() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    AS $$
DECLARE
    edited record;
    hold bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM ops.refuse_older_snapshot();
    END IF;
    -- Of most rows this tells at once that nothing holds them.
    IF NOT EXISTS (
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
    IF hold IS NOT NULL THEN
        PERFORM ops.refuse_for_hold(format('book %s', OLD.id), hold);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION ops.guard_content() RETURNS void
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

CREATE OR REPLACE FUNCTION ops.forget_detached_segment() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM public.content_segment_keys
    WHERE id = OLD.id
      AND created_at = OLD.created_at;
    RETURN NULL;
END
$$;

DROP FUNCTION ops.hold_below_thread(uuid);
DROP FUNCTION ops.hold_below(regclass, jsonb, integer);

ALTER TABLE content_segments ENABLE TRIGGER keep_keys;
ALTER TABLE archived_content_segments ENABLE TRIGGER keep_keys;
DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN
        SELECT link.inhrelid::regclass
        FROM pg_inherits AS link
        JOIN pg_trigger AS tg ON tg.tgrelid = link.inhrelid AND tg.tgname = 'keep_keys'
        WHERE link.inhparent IN (
            'content_segments'::regclass, 'archived_content_segments'::regclass
        )
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE TRIGGER keep_keys', partition);
    END LOOP;
END
$$;
