-- What the operations know: the ledger of archived months, legal holds, and erasures.
CREATE SCHEMA ops;

-- One row a month and generation. State names the last step that was begun or finished; the
-- timestamps say which of them finished.
CREATE TABLE ops.archive (
    month date NOT NULL CHECK (month = date_trunc('month', month)),
    generation integer NOT NULL CHECK (generation >= 1),
    state text NOT NULL CHECK (state IN (
        'archiving', 'archived', 'exporting', 'exported', 'proving', 'proven', 'freezing',
        'frozen', 'purging', 'purged', 'superseded'
    )),
    columns jsonb,
    row_counts jsonb,
    digests jsonb,
    objects jsonb NOT NULL DEFAULT '[]',
    manifest jsonb,
    certificate jsonb,
    -- Links, by bucket, that left the database since the proof with the month of their other end.
    departed_links jsonb NOT NULL DEFAULT '{}',
    -- Which of the 256 buckets of the month's segments a purge has removed so far.
    purged_buckets smallint[] NOT NULL DEFAULT '{}',
    archived_at timestamptz,
    exported_at timestamptz,
    proven_at timestamptz,
    frozen_at timestamptz,
    purged_at timestamptz,
    superseded_at timestamptz,
    run_id text,
    error text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (month, generation)
);
CREATE TRIGGER set_updated_at BEFORE UPDATE ON ops.archive
    FOR EACH ROW EXECUTE FUNCTION public.set_updated_at();

-- The state of every month at a glance.
CREATE VIEW ops.archive_status AS
SELECT
    a.month,
    a.generation,
    a.state,
    sizes.objects,
    sizes.bytes,
    sizes.storage_classes,
    (a.row_counts ->> 'content_segments')::bigint AS segments,
    (a.row_counts ->> 'photo_narrations')::bigint AS narrations,
    (a.row_counts ->> 'content_tags')::bigint AS tags,
    (a.row_counts ->> 'content_links')::bigint AS links,
    a.archived_at,
    a.exported_at,
    a.proven_at,
    a.frozen_at,
    a.purged_at,
    a.error
FROM ops.archive AS a
CROSS JOIN LATERAL (
    SELECT
        count(*) AS objects,
        sum((o -> 'stored' ->> 'bytes')::bigint) AS bytes,
        string_agg(DISTINCT o -> 'stored' ->> 'storage_class', ', ') AS storage_classes
    FROM jsonb_array_elements(a.objects) AS o
) AS sizes
ORDER BY a.month, a.generation;

-- A month that was asked back from Glacier. All of its purged generations come together.
CREATE TABLE ops.thaws (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    month date NOT NULL CHECK (month = date_trunc('month', month)),
    family_id uuid,
    purpose text NOT NULL CHECK (purpose IN ('thaw', 'erasure')),
    -- 'loaded' rows stand in a table of their own; 'thawed' ones are attached and visible.
    state text NOT NULL CHECK (state IN (
        'restoring', 'loading', 'loaded', 'thawed', 'refreezing', 'done', 'cancelled'
    )),
    generations integer[] NOT NULL,
    tier text NOT NULL CHECK (tier IN ('Expedited', 'Standard', 'Bulk')),
    days integer NOT NULL CHECK (days > 0),
    estimate jsonb NOT NULL,
    digests jsonb,
    left_out jsonb,
    purged_buckets smallint[] NOT NULL DEFAULT '{}',
    requested_at timestamptz NOT NULL DEFAULT now(),
    thawed_at timestamptz,
    expires_at timestamptz,
    done_at timestamptz,
    run_id text,
    error text
);
CREATE UNIQUE INDEX thaws_one_at_a_time ON ops.thaws (month)
    WHERE state NOT IN ('done', 'cancelled');

CREATE TABLE ops.legal_holds (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    month date CHECK (month = date_trunc('month', month)),
    family_id uuid,
    user_id uuid,
    reason text NOT NULL CHECK (reason <> ''),
    placed_by text NOT NULL DEFAULT session_user,
    placed_at timestamptz NOT NULL DEFAULT now(),
    released_by text,
    released_at timestamptz,
    release_reason text,
    CONSTRAINT legal_holds_one_subject CHECK (num_nonnulls(month, family_id, user_id) = 1)
);

-- Links whose other end is still in Glacier: a later thaw of that month inserts them.
CREATE TABLE ops.waiting_links (
    LIKE public.content_links INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    thawed_month date NOT NULL,
    PRIMARY KEY (id)
);

-- Who and what was erased, so that a thaw does not bring it back. Ids only, no content.
CREATE TABLE ops.erasures (
    kind text NOT NULL CHECK (kind IN ('user', 'family', 'thread', 'segment')),
    id uuid NOT NULL,
    -- The month of an erased segment; the content of the other kinds may lie in any.
    month date,
    erased_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, id)
);

CREATE FUNCTION ops.record_erasure() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    INSERT INTO ops.erasures (kind, id, month)
    VALUES (
        TG_ARGV[0],
        OLD.id,
        CASE WHEN TG_ARGV[0] = 'segment' THEN
            date_trunc('month', (to_jsonb(OLD) ->> 'created_at')::timestamptz AT TIME ZONE 'UTC')
        END
    )
    ON CONFLICT (kind, id) DO NOTHING;
    RETURN NULL;
END
$$;

CREATE TRIGGER record_erasure AFTER DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION ops.record_erasure('user');
CREATE TRIGGER record_erasure AFTER DELETE ON families
    FOR EACH ROW EXECUTE FUNCTION ops.record_erasure('family');
CREATE TRIGGER record_erasure AFTER DELETE ON threads
    FOR EACH ROW EXECUTE FUNCTION ops.record_erasure('thread');
-- A purge drops its table, so what is deleted here row by row was deleted by the application.
CREATE TRIGGER record_erasure AFTER DELETE ON archived_content_segments
    FOR EACH ROW EXECUTE FUNCTION ops.record_erasure('segment');

-- A legal hold on a family or a user outlives the application's wish to delete them.
CREATE FUNCTION ops.refuse_held() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    family uuid;
    hold record;
BEGIN
    IF NOT EXISTS (SELECT FROM ops.legal_holds WHERE released_at IS NULL) THEN
        RETURN OLD;
    END IF;
    family := CASE TG_ARGV[0]
        WHEN 'family' THEN OLD.id
        WHEN 'book' THEN (to_jsonb(OLD) ->> 'family_id')::uuid
        WHEN 'thread' THEN (
            SELECT mb.family_id
            FROM public.memory_books AS mb
            WHERE mb.id = (to_jsonb(OLD) ->> 'memory_book_id')::uuid
        )
    END;
    SELECT h.id, h.reason INTO hold
    FROM ops.legal_holds AS h
    WHERE h.released_at IS NULL
      AND (h.family_id = family OR TG_ARGV[0] = 'user' AND h.user_id = OLD.id)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% % is under legal hold %', TG_ARGV[0], OLD.id, hold.id
            USING ERRCODE = 'restrict_violation', DETAIL = hold.reason,
                  HINT = 'It can be deleted once the hold is released.';
    END IF;
    RETURN OLD;
END
$$;

CREATE TRIGGER refuse_held BEFORE DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_held('user');
CREATE TRIGGER refuse_held BEFORE DELETE ON families
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_held('family');
CREATE TRIGGER refuse_held BEFORE DELETE ON memory_books
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_held('book');
CREATE TRIGGER refuse_held BEFORE DELETE ON threads
    FOR EACH ROW EXECUTE FUNCTION ops.refuse_held('thread');

GRANT USAGE ON SCHEMA ops TO ft_readonly;
GRANT SELECT ON ALL TABLES IN SCHEMA ops TO ft_readonly;
