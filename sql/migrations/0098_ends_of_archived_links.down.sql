-- The functions as they were. What the searches of archives have recorded is recorded in another way by
-- the version before: a hold that stands is searched for again.
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

CREATE OR REPLACE FUNCTION ops.refuse_held_key() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    AS $$
DECLARE
    hold bigint;
BEGIN
    PERFORM ops.refuse_older_snapshot();
    IF TG_OP = 'UPDATE' THEN
        IF NEW *= OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    hold := ops.hold_on_key(OLD.id);
    IF hold IS NOT NULL THEN
        PERFORM ops.refuse_for_hold(format('segment %s', OLD.id), hold);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;

DROP FUNCTION ops.hold_on_end(uuid, oid);

ALTER TABLE ops.held_subjects DISABLE TRIGGER keep_held_subject;
DELETE FROM ops.held_subjects WHERE kind = 'end';
ALTER TABLE ops.held_subjects
    ENABLE TRIGGER keep_held_subject,
    DROP CONSTRAINT held_subjects_kind_check,
    ADD CONSTRAINT held_subjects_kind_check
        CHECK (kind IN ('family', 'book', 'thread', 'user', 'segment'));

ALTER TABLE ops.legal_holds DROP COLUMN unlisted_months;
