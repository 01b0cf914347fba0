-- The tables of the product, corrected where the specification cannot run or would lose data.
-- docs/corrections.md gives the reason for each difference.

-- An extension is created where the server offers it and this role may create it. The schema
-- works without any of them; what is missing is reported by the asset `schema`.
DO $$
DECLARE
    extension text;
BEGIN
    FOREACH extension IN ARRAY ARRAY['uuid-ossp', 'vector', 'timescaledb'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = extension);
        -- Without preloading, CREATE EXTENSION timescaledb ends the whole session. The view, not
        -- current_setting(): to a role without pg_read_all_settings it shows no row, no error.
        CONTINUE WHEN extension = 'timescaledb' AND NOT EXISTS (
            SELECT
            FROM pg_settings
            WHERE name = 'shared_preload_libraries'
              AND setting LIKE '%timescaledb%'
        );
        BEGIN
            EXECUTE format('CREATE EXTENSION IF NOT EXISTS %I', extension);
        EXCEPTION WHEN OTHERS THEN
            RAISE NOTICE 'extension % was not created: %', extension, SQLERRM;
        END;
    END LOOP;
    IF to_regprocedure('uuid_generate_v4()') IS NULL THEN
        CREATE FUNCTION uuid_generate_v4() RETURNS uuid
            LANGUAGE sql VOLATILE PARALLEL SAFE
            RETURN gen_random_uuid();
    END IF;
END
$$;

CREATE FUNCTION current_user_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('app.current_user_id', true), '')::uuid;

CREATE FUNCTION set_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    clerk_id varchar(255) UNIQUE NOT NULL,
    email varchar(255) UNIQUE NOT NULL,
    display_name varchar(255),
    avatar_url text,
    subscription_tier varchar(50) DEFAULT 'free'
        CHECK (subscription_tier IN ('free', 'premium', 'enterprise')),
    subscription_expires_at timestamptz,
    storage_used_bytes bigint DEFAULT 0,
    is_active boolean DEFAULT true,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    last_login_at timestamptz,
    metadata jsonb DEFAULT '{}'::jsonb
);

CREATE TABLE families (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    name varchar(255) NOT NULL,
    description text,
    owner_id uuid NOT NULL REFERENCES users (id) ON DELETE RESTRICT,
    subscription_tier varchar(50) DEFAULT 'free'
        CHECK (subscription_tier IN ('free', 'premium', 'enterprise')),
    storage_used_bytes bigint DEFAULT 0,
    storage_limit_bytes bigint DEFAULT 5368709120, -- 5 GB
    member_limit integer DEFAULT 10,
    is_active boolean DEFAULT true,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    settings jsonb DEFAULT '{
        "privacy": "private",
        "allow_downloads": true,
        "require_approval": true
    }'::jsonb
);

CREATE TABLE family_members (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    family_id uuid NOT NULL REFERENCES families (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role varchar(50) NOT NULL DEFAULT 'member'
        CHECK (role IN ('owner', 'admin', 'editor', 'member', 'viewer')),
    joined_at timestamptz DEFAULT now(),
    invited_by uuid REFERENCES users (id),
    is_active boolean DEFAULT true,
    permissions jsonb DEFAULT '{
        "can_edit": false,
        "can_delete": false,
        "can_invite": false,
        "can_download": true
    }'::jsonb,
    UNIQUE (family_id, user_id)
);

CREATE TABLE memory_books (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    family_id uuid NOT NULL REFERENCES families (id) ON DELETE CASCADE,
    title varchar(255) NOT NULL,
    description text,
    cover_image_url text,
    created_by uuid NOT NULL REFERENCES users (id),
    is_collaborative boolean DEFAULT true,
    privacy varchar(50) DEFAULT 'family' CHECK (privacy IN ('family', 'private', 'public')),
    thread_count integer DEFAULT 0,
    last_activity_at timestamptz DEFAULT now(),
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    metadata jsonb DEFAULT '{
        "theme": "default",
        "tags": [],
        "contributors": []
    }'::jsonb
);

CREATE TABLE threads (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    memory_book_id uuid NOT NULL REFERENCES memory_books (id) ON DELETE CASCADE,
    title varchar(255),
    started_by uuid NOT NULL REFERENCES users (id),
    participant_count integer DEFAULT 1,
    segment_count integer DEFAULT 0,
    last_segment_at timestamptz,
    is_locked boolean DEFAULT false,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    metadata jsonb DEFAULT '{
        "topic": null,
        "mood": null,
        "participants": []
    }'::jsonb
);

-- The CHECK constraints are named because ATTACH to the archive parent matches them by name.
CREATE TABLE content_segments (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    thread_id uuid NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users (id),
    content_type varchar(50) NOT NULL
        CONSTRAINT content_segments_content_type_check
        CHECK (content_type IN ('text', 'audio', 'photo', 'mixed')),
    sequence_number integer NOT NULL,
    text_content text,
    audio_url text,
    audio_duration_seconds integer,
    audio_transcript text,
    photo_urls text[],
    is_edited boolean DEFAULT false,
    edited_at timestamptz
        CONSTRAINT content_segments_edited_at_finite CHECK (isfinite(edited_at)),
    is_deleted boolean DEFAULT false,
    deleted_at timestamptz
        CONSTRAINT content_segments_deleted_at_finite CHECK (isfinite(deleted_at)),
    created_at timestamptz NOT NULL DEFAULT now()
        CONSTRAINT content_segments_created_at_finite CHECK (isfinite(created_at)),
    view_count integer DEFAULT 0,
    reaction_count integer DEFAULT 0,
    metadata jsonb DEFAULT '{
        "device_type": null,
        "location": null,
        "weather": null,
        "ai_insights": {}
    }'::jsonb,
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);

-- A month moves here by DETACH and ATTACH; no row is copied.
CREATE TABLE archived_content_segments (
    LIKE content_segments INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    PRIMARY KEY (id, created_at),
    FOREIGN KEY (thread_id) REFERENCES threads (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users (id)
) PARTITION BY RANGE (created_at);

-- The identities of all segments, hot and archived. A unique constraint of a partitioned table
-- must hold its partition key, so uniqueness over all months lives here, and so do the foreign
-- keys of what belongs to a segment.
CREATE TABLE content_segment_keys (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL,
    thread_id uuid NOT NULL,
    sequence_number integer NOT NULL,
    UNIQUE (thread_id, sequence_number)
);

CREATE TABLE photo_narrations (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    content_segment_id uuid NOT NULL REFERENCES content_segment_keys (id) ON DELETE CASCADE,
    photo_index integer NOT NULL,
    narration_text text NOT NULL,
    narration_type varchar(50) DEFAULT 'ai' CHECK (narration_type IN ('ai', 'user', 'edited')),
    confidence_score float,
    language varchar(10) DEFAULT 'en',
    created_by uuid REFERENCES users (id),
    created_at timestamptz DEFAULT now()
        CONSTRAINT photo_narrations_created_at_finite CHECK (isfinite(created_at)),
    updated_at timestamptz DEFAULT now()
        CONSTRAINT photo_narrations_updated_at_finite CHECK (isfinite(updated_at)),
    metadata jsonb DEFAULT '{
        "model_version": null,
        "detected_objects": [],
        "detected_people": []
    }'::jsonb,
    UNIQUE (content_segment_id, photo_index)
);

CREATE TABLE content_links (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    source_segment_id uuid NOT NULL REFERENCES content_segment_keys (id) ON DELETE CASCADE,
    target_segment_id uuid NOT NULL REFERENCES content_segment_keys (id) ON DELETE CASCADE,
    link_type varchar(50) NOT NULL CHECK (link_type IN ('reply', 'reference', 'continuation')),
    created_by uuid NOT NULL REFERENCES users (id),
    created_at timestamptz DEFAULT now()
        CONSTRAINT content_links_created_at_finite CHECK (isfinite(created_at)),
    metadata jsonb DEFAULT '{}'::jsonb,
    UNIQUE (source_segment_id, target_segment_id, link_type)
);

CREATE TABLE content_tags (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    content_segment_id uuid NOT NULL REFERENCES content_segment_keys (id) ON DELETE CASCADE,
    tag_name varchar(100) NOT NULL,
    tagged_by uuid NOT NULL REFERENCES users (id),
    created_at timestamptz DEFAULT now()
        CONSTRAINT content_tags_created_at_finite CHECK (isfinite(created_at)),
    UNIQUE (content_segment_id, tag_name, tagged_by)
);

CREATE TABLE family_invites (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    family_id uuid NOT NULL REFERENCES families (id) ON DELETE CASCADE,
    email varchar(255) NOT NULL,
    role varchar(50) DEFAULT 'member' CHECK (role IN ('admin', 'editor', 'member', 'viewer')),
    invited_by uuid NOT NULL REFERENCES users (id),
    invite_code varchar(255) UNIQUE NOT NULL,
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    accepted_by uuid REFERENCES users (id),
    created_at timestamptz DEFAULT now(),
    metadata jsonb DEFAULT '{
        "message": null,
        "permissions": {}
    }'::jsonb
);

CREATE TABLE audit_log (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    user_id uuid NOT NULL,
    action varchar(100) NOT NULL,
    table_name varchar(100),
    record_id uuid,
    old_values jsonb,
    new_values jsonb,
    ip_address inet,
    user_agent text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);

-- The registry follows its segments. SECURITY DEFINER: the application may not write to it.
-- AFTER ROW, because a BEFORE trigger breaks ON CONFLICT DO NOTHING and a statement trigger
-- misses what is inserted straight into a partition.
CREATE FUNCTION register_segment_key() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    INSERT INTO public.content_segment_keys (id, created_at, thread_id, sequence_number)
    VALUES (NEW.id, NEW.created_at, NEW.thread_id, NEW.sequence_number);
    RETURN NULL;
END
$$;

CREATE FUNCTION follow_segment_key() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    UPDATE public.content_segment_keys
    SET thread_id = NEW.thread_id, sequence_number = NEW.sequence_number
    WHERE id = NEW.id;
    RETURN NULL;
END
$$;

CREATE FUNCTION forget_segment_key() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    DELETE FROM public.content_segment_keys WHERE id = OLD.id;
    RETURN NULL;
END
$$;

-- An update that moves a row to another month would run the delete trigger and take the
-- segment's narrations, links and tags with it.
CREATE FUNCTION refuse_segment_identity_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'id and created_at of segment % cannot change', OLD.id
        USING ERRCODE = 'restrict_violation',
              HINT = 'Insert a new segment and delete this one.';
END
$$;

CREATE TRIGGER register_key AFTER INSERT ON content_segments
    FOR EACH ROW EXECUTE FUNCTION register_segment_key();
CREATE TRIGGER follow_key AFTER UPDATE OF thread_id, sequence_number ON content_segments
    FOR EACH ROW EXECUTE FUNCTION follow_segment_key();
CREATE TRIGGER forget_key AFTER DELETE ON content_segments
    FOR EACH ROW EXECUTE FUNCTION forget_segment_key();
CREATE TRIGGER keep_identity BEFORE UPDATE OF id, created_at ON content_segments
    FOR EACH ROW
    WHEN (OLD.id <> NEW.id OR OLD.created_at <> NEW.created_at)
    EXECUTE FUNCTION refuse_segment_identity_change();

CREATE TRIGGER register_key AFTER INSERT ON archived_content_segments
    FOR EACH ROW EXECUTE FUNCTION register_segment_key();
CREATE TRIGGER follow_key AFTER UPDATE OF thread_id, sequence_number ON archived_content_segments
    FOR EACH ROW EXECUTE FUNCTION follow_segment_key();
CREATE TRIGGER forget_key AFTER DELETE ON archived_content_segments
    FOR EACH ROW EXECUTE FUNCTION forget_segment_key();
CREATE TRIGGER keep_identity BEFORE UPDATE OF id, created_at ON archived_content_segments
    FOR EACH ROW
    WHEN (OLD.id <> NEW.id OR OLD.created_at <> NEW.created_at)
    EXECUTE FUNCTION refuse_segment_identity_change();

-- TRUNCATE runs no row trigger: it would leave every key behind.
CREATE FUNCTION refuse_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of % would leave its keys behind', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation',
              HINT = 'DELETE the rows: their keys, narrations, links and tags go with them.';
END
$$;

CREATE TRIGGER keep_keys BEFORE TRUNCATE ON content_segments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER keep_keys BEFORE TRUNCATE ON archived_content_segments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();

-- Recomputed storage is not an edit: storage_used_bytes is left out of these column lists.
CREATE TRIGGER set_updated_at
    BEFORE UPDATE OF clerk_id, email, display_name, avatar_url, subscription_tier,
        subscription_expires_at, is_active, last_login_at, metadata ON users
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER set_updated_at
    BEFORE UPDATE OF name, description, owner_id, subscription_tier, storage_limit_bytes,
        member_limit, is_active, settings ON families
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER set_updated_at BEFORE UPDATE ON memory_books
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER set_updated_at BEFORE UPDATE ON threads
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER set_updated_at BEFORE UPDATE ON photo_narrations
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
