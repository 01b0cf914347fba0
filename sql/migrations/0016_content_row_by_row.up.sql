-- The archive goes row by row: which tables hold content is read from the catalog, what was proven is
-- known by id, a shared row (a link) that is deleted leaves a tombstone of its own, and migrations
-- declare how rows of earlier schemas become rows of today's.

ALTER TABLE ops.archive
    -- Exported from the database, or rewritten from other generations without what was erased.
    ADD COLUMN origin text NOT NULL DEFAULT 'database'
        CHECK (origin IN ('database', 'erasure')),
    -- The tables of content as they were exported; of earlier versions `columns` has four of them.
    ADD COLUMN content jsonb,
    -- The moment whose rows it holds: of two versions of a row the later one counts.
    ADD COLUMN as_of timestamptz,
    -- The generation that takes over from a superseded one.
    ADD COLUMN replaced_by integer,
    -- Versions that frozen ones replace, and that a retention keeps from being removed.
    ADD COLUMN leftovers jsonb NOT NULL DEFAULT '[]';
UPDATE ops.archive SET as_of = exported_at;

ALTER TABLE ops.thaws
    -- The tables of content when the month was loaded.
    ADD COLUMN content jsonb;

-- Segments that a removal has looked at and kept, until it ends and they get a table of their own.
CREATE TABLE ops.kept_segments (
    month date NOT NULL CHECK (month = date_trunc('month', month)),
    generation integer,
    thaw bigint,
    segment_id uuid NOT NULL,
    CONSTRAINT kept_segments_one_removal CHECK (num_nonnulls(generation, thaw) = 1)
);
CREATE INDEX kept_segments_segment ON ops.kept_segments (segment_id);

-- Shared rows that a thaw has brought, and one of whose ends is not in the database. `row` is the row
-- by the names of its columns.
CREATE TABLE ops.waiting_rows (
    table_name text NOT NULL,
    key text NOT NULL,
    -- On behalf of which month it waits: it goes with that month.
    thawed_month date NOT NULL,
    as_of timestamptz NOT NULL,
    row json NOT NULL,
    PRIMARY KEY (table_name, key, thawed_month)
);
INSERT INTO ops.waiting_rows (table_name, key, thawed_month, as_of, row)
SELECT
    'content_links',
    jsonb_build_array(w.id)::text,
    w.thawed_month,
    now(),
    (
        SELECT row_to_json(x)
        FROM (
            SELECT
                w.id, w.source_segment_id, w.target_segment_id, w.link_type, w.created_by,
                w.created_at, w.metadata
        ) AS x
    )
FROM ops.waiting_links AS w;
DROP TABLE ops.waiting_links;

-- Links that wait, as links.
CREATE VIEW ops.waiting_links AS
SELECT
    c.id, c.source_segment_id, c.target_segment_id, c.link_type, c.created_by, c.created_at,
    c.metadata, w.thawed_month
FROM ops.waiting_rows AS w
CROSS JOIN LATERAL json_populate_record(NULL::public.content_links, w.row) AS c
WHERE w.table_name = 'content_links';

-- Shared rows that were deleted by themselves, so that a thaw does not bring them back: their archive
-- can't tell that from a row which left with its other end. Keys only, no content.
CREATE TABLE ops.erased_rows (
    table_name text NOT NULL,
    key text NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (table_name, key)
);

-- TG_ARGV[0] are the columns of the row's key, with commas. Not of what the archive's own removals take
-- along: whoever may act as the table's owner says so by a setting. Whether the row was archived does
-- not matter: a transaction that deletes it may end when it has been.
CREATE FUNCTION ops.record_erased_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF coalesce(current_setting('ft_ops.removes', true), '') = 'on'
        AND pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER')
    THEN
        RETURN NULL;
    END IF;
    INSERT INTO ops.erased_rows (table_name, key)
    SELECT
        CASE TG_TABLE_SCHEMA WHEN 'public' THEN '' ELSE TG_TABLE_SCHEMA || '.' END || TG_TABLE_NAME,
        jsonb_agg(to_jsonb(OLD) -> name ORDER BY place)::text
    FROM string_to_table(TG_ARGV[0], ',') WITH ORDINALITY AS names (name, place)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

-- A row that is inserted again under its key is deleted no more.
CREATE FUNCTION ops.forget_erased_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM ops.erased_rows
    WHERE table_name = CASE TG_TABLE_SCHEMA WHEN 'public' THEN '' ELSE TG_TABLE_SCHEMA || '.' END
            || TG_TABLE_NAME
      AND key = (
          SELECT jsonb_agg(to_jsonb(NEW) -> name ORDER BY place)::text
          FROM string_to_table(TG_ARGV[0], ',') WITH ORDINALITY AS names (name, place)
      );
    RETURN NULL;
END
$$;

-- For a migration that adds a table of shared rows: one that reaches content_segment_keys by several
-- foreign keys with ON DELETE CASCADE. `key` are the columns of its primary key, in order. SHARE ROW
-- EXCLUSIVE on the table for an instant.
CREATE FUNCTION ops.track_shared_rows(relation regclass, key text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER record_erased_row AFTER DELETE ON %s '
        'FOR EACH ROW EXECUTE FUNCTION ops.record_erased_row(%L)',
        relation, array_to_string(key, ',')
    );
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER forget_erased_row AFTER INSERT ON %s '
        'FOR EACH ROW EXECUTE FUNCTION ops.forget_erased_row(%L)',
        relation, array_to_string(key, ',')
    );
    EXECUTE format(
        'ALTER TABLE %s ENABLE ALWAYS TRIGGER record_erased_row, '
        'ENABLE ALWAYS TRIGGER forget_erased_row',
        relation
    );
END
$$;
REVOKE EXECUTE ON FUNCTION
    ops.record_erased_row(), ops.forget_erased_row(),
    ops.track_shared_rows(regclass, text[])
    FROM PUBLIC;

SELECT ops.track_shared_rows('content_links', '{id}');

-- What migrations declare about columns and tables of content. An empty column_name is the table.
CREATE TABLE ops.column_changes (
    table_name text NOT NULL CHECK (table_name <> ''),
    column_name text NOT NULL,
    change text NOT NULL CHECK (change IN ('renamed', 'dropped', 'added', 'value')),
    -- What it is called since.
    new_name text,
    -- What rows get that were archived before: an SQL expression over their columns of that time.
    value text,
    declared_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (table_name, column_name, change),
    CONSTRAINT column_changes_new_name CHECK ((change = 'renamed') = (new_name IS NOT NULL)),
    CONSTRAINT column_changes_value
        CHECK ((change = 'value') = (value IS NOT NULL) AND (change <> 'value' OR column_name <> ''))
);

-- Not what waits: those rows are content, and no policy of theirs tells whose.
GRANT SELECT ON ops.kept_segments, ops.erased_rows, ops.column_changes TO ft_readonly;
