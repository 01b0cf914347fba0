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
    row_counts jsonb,
    objects jsonb NOT NULL DEFAULT '[]',
    digest jsonb,
    certificate jsonb,
    manifest_key text,
    manifest_version_id text,
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

-- A month that was asked back from Glacier. All of its purged generations come together.
CREATE TABLE ops.thaws (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    month date NOT NULL CHECK (month = date_trunc('month', month)),
    family_id uuid,
    state text NOT NULL CHECK (state IN (
        'requested', 'restoring', 'loading', 'thawed', 'refreezing', 'refrozen', 'failed'
    )),
    tier text NOT NULL CHECK (tier IN ('Expedited', 'Standard', 'Bulk')),
    estimate jsonb NOT NULL DEFAULT '{}',
    row_counts jsonb,
    left_out jsonb,
    requested_at timestamptz NOT NULL DEFAULT now(),
    thawed_at timestamptz,
    expires_at timestamptz,
    refrozen_at timestamptz,
    run_id text,
    error text
);
CREATE UNIQUE INDEX thaws_one_at_a_time ON ops.thaws (month)
    WHERE state NOT IN ('refrozen', 'failed');

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

-- Who and what was erased, so that a thaw does not bring it back. Ids only, no content.
CREATE TABLE ops.erasures (
    kind text NOT NULL CHECK (kind IN ('user', 'family', 'thread', 'segment')),
    id uuid NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, id)
);

CREATE FUNCTION ops.record_erasure() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    INSERT INTO ops.erasures (kind, id) VALUES (TG_ARGV[0], OLD.id)
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

GRANT USAGE ON SCHEMA ops TO ft_readonly;
GRANT SELECT ON ALL TABLES IN SCHEMA ops TO ft_readonly;
