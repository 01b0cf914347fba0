-- How many bytes families and users occupy: what changed, the rollup by month, the totals.

-- What changed since the last recomputation, written by the triggers below in the transaction
-- that made the change, so that both are visible to exactly the same snapshots. Rows are only
-- appended: two writers of one month never wait for each other. No index, because a recomputation
-- reads and removes all that it sees.
--
-- Either a user's content in a month, or a thread that moved to another book with whatever content
-- it has.
CREATE TABLE ops.storage_changes (
    month date CHECK (month = date_trunc('month', month)),
    user_id uuid,
    thread_id uuid,
    CONSTRAINT storage_changes_one_subject CHECK (
        num_nonnulls(month, user_id) = 2 AND thread_id IS NULL
        OR num_nonnulls(month, user_id) = 0 AND thread_id IS NOT NULL
    )
);

-- Bytes of one book's segments by one user in one month of content_segments. The family is not
-- stored: a book may move to another one, and memory_books says to which it belongs.
CREATE TABLE ops.storage_rollup (
    month date NOT NULL CHECK (month = date_trunc('month', month)),
    memory_book_id uuid NOT NULL,
    user_id uuid NOT NULL,
    segments bigint NOT NULL CHECK (segments > 0),
    text_bytes bigint NOT NULL,
    transcript_bytes bigint NOT NULL,
    recordings bigint NOT NULL,
    photos bigint NOT NULL,
    recording_bytes bigint NOT NULL,
    photo_bytes bigint NOT NULL,
    -- Recordings and photos that no inventory knows, and that count by the estimate.
    unsized bigint NOT NULL,
    bytes bigint NOT NULL
        GENERATED ALWAYS AS (text_bytes + transcript_bytes + recording_bytes + photo_bytes) STORED,
    PRIMARY KEY (month, user_id, memory_book_id)
) WITH (fillfactor = 90);

-- One row a month of the rollup: its sums, and the signals under which it was computed.
CREATE TABLE ops.storage_months (
    month date PRIMARY KEY CHECK (month = date_trunc('month', month)),
    segments bigint NOT NULL,
    text_bytes bigint NOT NULL,
    transcript_bytes bigint NOT NULL,
    recordings bigint NOT NULL,
    photos bigint NOT NULL,
    recording_bytes bigint NOT NULL,
    photo_bytes bigint NOT NULL,
    unsized bigint NOT NULL,
    bytes bigint NOT NULL
        GENERATED ALWAYS AS (text_bytes + transcript_bytes + recording_bytes + photo_bytes) STORED,
    -- What the month's partitions and their triggers were; NULL: changes may pass unnoticed.
    signature text,
    media_added bigint NOT NULL,
    media_altered bigint NOT NULL,
    recomputed_at timestamptz NOT NULL
);

-- Sums of the rollup over all months, kept by difference: what a run costs does not depend on how
-- many months there are.
CREATE TABLE ops.storage_books (
    memory_book_id uuid PRIMARY KEY,
    segments bigint NOT NULL,
    bytes bigint NOT NULL
) WITH (fillfactor = 80);

CREATE TABLE ops.storage_users (
    user_id uuid PRIMARY KEY,
    segments bigint NOT NULL,
    bytes bigint NOT NULL
) WITH (fillfactor = 80);

CREATE TABLE ops.storage_families (
    family_id uuid PRIMARY KEY,
    bytes bigint NOT NULL
) WITH (fillfactor = 80);

-- The history of recomputations. The newest row names the snapshot that all totals belong to.
CREATE TABLE ops.storage_recomputations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('changed months', 'every month')),
    snapshot text NOT NULL,
    lsn pg_lsn NOT NULL,
    taken_at timestamptz NOT NULL,
    months integer NOT NULL,
    recomputed date[] NOT NULL,
    -- Rows that a full recomputation found different although nothing had said so.
    disagreements bigint NOT NULL DEFAULT 0,
    examples jsonb NOT NULL DEFAULT '[]',
    run_id text
);

-- Real sizes of recordings and photos by object key, from an inventory or a listing of the media
-- bucket. Empty unless one is configured.
CREATE TABLE ops.media_objects (
    key text PRIMARY KEY,
    bytes bigint NOT NULL CHECK (bytes >= 0)
);

CREATE TABLE ops.media_inventories (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    taken_at timestamptz NOT NULL,
    objects bigint NOT NULL,
    bytes bigint NOT NULL,
    added bigint NOT NULL,
    altered bigint NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The key of the object that a media URL names: its path, without query and percent-encoding.
-- Not PARALLEL SAFE: a parallel query may not open the subtransaction of its exception block.
CREATE FUNCTION ops.media_key(url text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT
    AS $$
DECLARE
    path text := pg_catalog.regexp_replace(
        url, '^[A-Za-z][A-Za-z0-9+.-]*://[^/]*/|[?#].*$', '', 'g'
    );
BEGIN
    IF pg_catalog.strpos(path, '%') = 0 THEN
        RETURN path;
    END IF;
    BEGIN
        RETURN (
            SELECT convert_from(
                decode(
                    string_agg(
                        CASE
                            WHEN part[1] ~ '^%.' THEN substr(part[1], 2)
                            ELSE encode(convert_to(part[1], 'UTF8'), 'hex')
                        END,
                        '' ORDER BY place
                    ),
                    'hex'
                ),
                'UTF8'
            )
            FROM regexp_matches(path, '%[0-9A-Fa-f]{2}|[^%]+|%', 'g') WITH ORDINALITY
                AS parts (part, place)
        );
    EXCEPTION WHEN character_not_in_repertoire THEN
        -- No text once decoded, so no object's key: it is looked up as it stands.
        RETURN path;
    END;
END
$$;

CREATE FUNCTION ops.note_changed_content() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    changed_month constant date :=
        date_trunc('month', coalesce(NEW.created_at, OLD.created_at) AT TIME ZONE 'UTC');
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO ops.storage_changes (month, user_id) VALUES (changed_month, NEW.user_id);
    END IF;
    IF TG_OP = 'DELETE' OR OLD.user_id <> NEW.user_id THEN
        INSERT INTO ops.storage_changes (month, user_id) VALUES (changed_month, OLD.user_id);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION ops.note_moved_thread() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    INSERT INTO ops.storage_changes (thread_id) VALUES (NEW.id);
    RETURN NULL;
END
$$;

-- Row triggers, because these fire for every way into a partition, the direct one and a cascade
-- included. The WHEN clauses are the proof that a change without a mark moves no byte: views,
-- reactions, tags and edits that keep their length cost nothing. Conditions rather than column
-- lists: a list looks at what the statement names, not at what another trigger changed.
CREATE TRIGGER note_inserted_content AFTER INSERT ON content_segments
    FOR EACH ROW WHEN (NEW.is_deleted IS NOT TRUE)
    EXECUTE FUNCTION ops.note_changed_content();
CREATE TRIGGER note_deleted_content AFTER DELETE ON content_segments
    FOR EACH ROW WHEN (OLD.is_deleted IS NOT TRUE)
    EXECUTE FUNCTION ops.note_changed_content();
CREATE TRIGGER note_updated_content AFTER UPDATE ON content_segments
    FOR EACH ROW
    WHEN (
        (OLD.is_deleted IS TRUE) <> (NEW.is_deleted IS TRUE)
        OR octet_length(OLD.text_content) IS DISTINCT FROM octet_length(NEW.text_content)
        OR octet_length(OLD.audio_transcript) IS DISTINCT FROM octet_length(NEW.audio_transcript)
        OR OLD.audio_url IS DISTINCT FROM NEW.audio_url
        OR OLD.photo_urls IS DISTINCT FROM NEW.photo_urls
        OR OLD.user_id <> NEW.user_id
        OR OLD.thread_id <> NEW.thread_id
    )
    EXECUTE FUNCTION ops.note_changed_content();
CREATE TRIGGER note_moved_thread AFTER UPDATE ON threads
    FOR EACH ROW WHEN (OLD.memory_book_id <> NEW.memory_book_id)
    EXECUTE FUNCTION ops.note_moved_thread();

-- ALWAYS: session_replication_role = replica, which some bulk loads set, does not silence them.
ALTER TABLE content_segments ENABLE ALWAYS TRIGGER note_inserted_content;
ALTER TABLE content_segments ENABLE ALWAYS TRIGGER note_deleted_content;
ALTER TABLE content_segments ENABLE ALWAYS TRIGGER note_updated_content;
ALTER TABLE threads ENABLE ALWAYS TRIGGER note_moved_thread;

GRANT SELECT ON
    ops.storage_changes, ops.storage_rollup, ops.storage_months, ops.storage_books,
    ops.storage_users, ops.storage_families, ops.storage_recomputations, ops.media_objects,
    ops.media_inventories
    TO ft_readonly;
