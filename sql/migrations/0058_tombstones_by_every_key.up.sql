-- A shared row (a link) that is deleted is named by every key by which an archive may know it: its table
-- may have had another primary key when it was archived, and what is erased is looked for by that one.
-- And no bulk load's session_replication_role silences the tombstones of people, threads and segments.

-- The keys that archived tables of shared rows had, as columns of that day.
CREATE TABLE ops.row_keys (
    table_name text NOT NULL,
    columns text[] NOT NULL,
    PRIMARY KEY (table_name, columns)
);
GRANT SELECT ON ops.row_keys TO ft_readonly;

CREATE FUNCTION ops.keys_in_archive(content jsonb) RETURNS TABLE (table_name text, columns text[])
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT
        t.value ->> 'name',
        ARRAY(
            SELECT k.name
            FROM jsonb_array_elements_text(t.value -> 'key') WITH ORDINALITY AS k (name, place)
            ORDER BY k.place
        )
    FROM jsonb_array_elements(content -> 'tables') AS t
    WHERE jsonb_array_length(t.value -> 'paths') > 1
$$;

CREATE FUNCTION ops.note_row_keys() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    INSERT INTO ops.row_keys (table_name, columns)
    SELECT k.table_name, k.columns
    FROM ops.keys_in_archive(NEW.content) AS k
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_row_keys AFTER INSERT OR UPDATE OF content ON ops.archive
    FOR EACH ROW WHEN (NEW.content IS NOT NULL) EXECUTE FUNCTION ops.note_row_keys();

-- Every key of a row by which a tombstone may name it: today's, and those of archives whose columns it has.
CREATE FUNCTION ops.names_of_row(relation oid, line jsonb) RETURNS TABLE (name text, key text)
    LANGUAGE sql STABLE
    AS $$
    SELECT t.name, t.key
    FROM ops.named_row(relation, line) AS t
    UNION
    SELECT
        t.name,
        (
            SELECT jsonb_agg(line -> c.name ORDER BY c.place)::text
            FROM unnest(k.columns) WITH ORDINALITY AS c (name, place)
        )
    FROM ops.named_row(relation, line) AS t
    JOIN ops.row_keys AS k ON k.table_name IN (SELECT ops.names_of(t.name))
    WHERE line ?& k.columns
$$;
REVOKE EXECUTE ON FUNCTION
    ops.keys_in_archive(jsonb), ops.note_row_keys(), ops.names_of_row(oid, jsonb)
    FROM PUBLIC;

-- As before, and by each of its keys.
CREATE OR REPLACE FUNCTION ops.record_erased_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF coalesce(current_setting('ft_ops.removes', true), '') = 'on'
        AND pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER')
    THEN
        RETURN NULL;
    END IF;
    INSERT INTO ops.erased_rows (table_name, key)
    SELECT t.name, t.key
    FROM ops.names_of_row(TG_RELID, to_jsonb(OLD)) AS t
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION ops.forget_erased_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM ops.erased_rows AS e
    USING ops.names_of_row(TG_RELID, to_jsonb(NEW)) AS t
    WHERE e.key = t.key
      AND e.table_name IN (SELECT ops.names_of(t.name));
    RETURN NULL;
END
$$;

INSERT INTO ops.row_keys (table_name, columns)
SELECT k.table_name, k.columns
FROM ops.archive AS a
CROSS JOIN LATERAL ops.keys_in_archive(a.content) AS k
WHERE a.content IS NOT NULL
ON CONFLICT DO NOTHING;
-- What was archived before the catalog was asked has links by their id.
INSERT INTO ops.row_keys (table_name, columns)
SELECT 'content_links', '{id}'
WHERE EXISTS (SELECT FROM ops.archive AS a WHERE a.content IS NULL AND a.objects <> '[]')
ON CONFLICT DO NOTHING;

-- SHARE ROW EXCLUSIVE on these tables for an instant.
ALTER TABLE users ENABLE ALWAYS TRIGGER record_erasure;
ALTER TABLE families ENABLE ALWAYS TRIGGER record_erasure;
ALTER TABLE memory_books ENABLE ALWAYS TRIGGER record_erasure;
ALTER TABLE threads ENABLE ALWAYS TRIGGER record_erasure;
ALTER TABLE archived_content_segments ENABLE ALWAYS TRIGGER record_erasure;
