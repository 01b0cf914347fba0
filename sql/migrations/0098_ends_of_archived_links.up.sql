-- A held link that an archive alone has comes back with both of its ends, or not at all. So a segment at
-- its other end is neither deleted nor moved to another thread while the hold stands: the search of the
-- archives records it as an 'end'. Its content may change, and the operations may take it to an archive.

ALTER TABLE ops.held_subjects
    DROP CONSTRAINT held_subjects_kind_check,
    ADD CONSTRAINT held_subjects_kind_check
        CHECK (kind IN ('family', 'book', 'thread', 'user', 'segment', 'end'));

-- Months of the archive alone whose links were archived by a version that did not list what they lead to,
-- when the archives were searched for the hold.
ALTER TABLE ops.legal_holds ADD COLUMN unlisted_months date[];

-- Which standing hold holds a link that leads to a segment, which a row of a relation is, or its key. NULL
-- for the operations that take it to an archive, as ops.record_erased_row knows them: there it stays.
CREATE FUNCTION ops.hold_on_end(segment uuid, relation oid) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF coalesce(current_setting('ft_ops.removes', true), '') = 'on'
        AND pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = relation), 'MEMBER')
    THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT s.hold_id
        FROM ops.held_subjects AS s
        WHERE s.id = segment
          AND s.kind = 'end'
        LIMIT 1
    );
END
$$;
REVOKE EXECUTE ON FUNCTION ops.hold_on_end(uuid, oid) FROM PUBLIC;

-- As before, and of a segment at the end of a held link.
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
    IF hold IS NULL AND (moves OR TG_OP = 'DELETE') THEN
        hold := ops.hold_on_end(OLD.id, TG_RELID);
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
    leaves boolean := true;
BEGIN
    PERFORM ops.refuse_older_snapshot();
    IF TG_OP = 'UPDATE' THEN
        IF NEW *= OLD THEN
            RETURN NEW;
        END IF;
        leaves := (NEW.id, NEW.thread_id) <> (OLD.id, OLD.thread_id);
    END IF;
    hold := ops.hold_on_key(OLD.id);
    IF hold IS NULL AND leaves THEN
        hold := ops.hold_on_end(OLD.id, TG_RELID);
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

-- The archives are searched again for each that stands: links, and what was adopted, were not.
UPDATE ops.legal_holds
SET archived_months = NULL, archives_read_at = NULL
WHERE released_at IS NULL;
