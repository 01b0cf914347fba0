ALTER TABLE archived_content_segments ENABLE TRIGGER record_erasure;
ALTER TABLE threads ENABLE TRIGGER record_erasure;
ALTER TABLE memory_books ENABLE TRIGGER record_erasure;
ALTER TABLE families ENABLE TRIGGER record_erasure;
ALTER TABLE users ENABLE TRIGGER record_erasure;

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
    FROM ops.named_row(TG_RELID, to_jsonb(OLD)) AS t
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION ops.forget_erased_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM ops.erased_rows AS e
    USING ops.named_row(TG_RELID, to_jsonb(NEW)) AS t
    WHERE e.key = t.key
      AND e.table_name IN (SELECT ops.names_of(t.name));
    RETURN NULL;
END
$$;

DROP FUNCTION ops.names_of_row(oid, jsonb);
DROP TRIGGER note_row_keys ON ops.archive;
DROP FUNCTION ops.note_row_keys();
DROP FUNCTION ops.keys_in_archive(jsonb);
DROP TABLE ops.row_keys;
