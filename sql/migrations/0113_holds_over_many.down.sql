-- The functions as they were.
CREATE OR REPLACE FUNCTION ops.search_again(hold bigint) RETURNS void
    LANGUAGE sql
    AS $$
    UPDATE ops.legal_holds AS h
    SET archived_months = NULL, archives_read_at = NULL, arrivals = coalesce(h.arrivals, 0) + 1
    WHERE h.id = hold
      AND h.released_at IS NULL
$$;

CREATE OR REPLACE FUNCTION ops.hold_on_row(relation regclass, line jsonb) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    relations regclass[] := ARRAY[relation];
    lines jsonb[] := ARRAY[line];
    place integer := 1;
    reference record;
    above jsonb;
    hold bigint;
BEGIN
    WHILE place <= cardinality(lines) LOOP
        FOR reference IN
            SELECT
                con.confrelid::regclass AS parent,
                (
                    SELECT string_agg(format('p.%I = c.%I', pa.attname, ca.attname), ' AND ')
                    FROM unnest(con.conkey, con.confkey) AS k (child, parent)
                    JOIN pg_attribute AS ca ON ca.attrelid = con.conrelid AND ca.attnum = k.child
                    JOIN pg_attribute AS pa
                        ON pa.attrelid = con.confrelid AND pa.attnum = k.parent
                ) AS matches
            FROM pg_constraint AS con
            WHERE con.conrelid = relations[place]
              AND con.contype = 'f'
              AND (con.confdeltype = 'c' OR con.confrelid = 'public.users'::regclass)
        LOOP
            EXECUTE format(
                'SELECT to_jsonb(p) FROM %s AS p, jsonb_populate_record(NULL::%s, $1) AS c WHERE %s',
                reference.parent, relations[place], reference.matches
            ) INTO above USING lines[place];
            CONTINUE WHEN above IS NULL;
            CASE reference.parent
                WHEN 'public.content_segment_keys'::regclass THEN
                    hold := ops.hold_on_key((above ->> 'id')::uuid);
                WHEN 'public.threads'::regclass THEN
                    hold := ops.hold_on_thread(
                        (above ->> 'id')::uuid, (above ->> 'memory_book_id')::uuid,
                        (above ->> 'started_by')::uuid
                    );
                WHEN 'public.memory_books'::regclass THEN
                    hold := ops.hold_on_book(
                        (above ->> 'id')::uuid, (above ->> 'family_id')::uuid,
                        (above ->> 'created_by')::uuid
                    );
                WHEN 'public.users'::regclass, 'public.families'::regclass THEN
                    SELECT s.hold_id INTO hold
                    FROM ops.held_subjects AS s
                    WHERE s.id = (above ->> 'id')::uuid
                      AND s.kind = CASE reference.parent
                          WHEN 'public.users'::regclass THEN 'user' ELSE 'family' END
                      AND s.whole
                    LIMIT 1;
                ELSE
                    IF NOT EXISTS (
                        SELECT
                        FROM unnest(relations, lines) AS seen (relation, line)
                        WHERE (seen.relation, seen.line) = (reference.parent, above)
                    ) THEN
                        relations := array_append(relations, reference.parent);
                        lines := array_append(lines, above);
                    END IF;
            END CASE;
            IF hold IS NOT NULL THEN
                RETURN hold;
            END IF;
        END LOOP;
        place := place + 1;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION ops.hold_below(above regclass, line jsonb, depth integer DEFAULT 0) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    reference record;
    belonging jsonb;
    hold bigint;
BEGIN
    -- A chain of foreign keys that comes back to itself is no content that is archived.
    IF depth > 8 THEN
        RETURN NULL;
    END IF;
    FOR reference IN
        SELECT
            con.conrelid::regclass AS child,
            (
                SELECT string_agg(format('c.%I = p.%I', ca.attname, pa.attname), ' AND ')
                FROM unnest(con.conkey, con.confkey) AS k (child, parent)
                JOIN pg_attribute AS ca ON ca.attrelid = con.conrelid AND ca.attnum = k.child
                JOIN pg_attribute AS pa ON pa.attrelid = con.confrelid AND pa.attnum = k.parent
            ) AS matches
        FROM pg_constraint AS con
        WHERE con.confrelid = above
          AND con.contype = 'f'
          AND con.confdeltype = 'c'
          AND con.conparentid = 0
    LOOP
        FOR belonging IN EXECUTE format(
            'SELECT to_jsonb(c) FROM %s AS c, jsonb_populate_record(NULL::%s, $1) AS p WHERE %s',
            reference.child, above, reference.matches
        ) USING line LOOP
            hold := coalesce(
                ops.hold_on_row(reference.child, belonging),
                ops.hold_below(reference.child, belonging, depth + 1)
            );
            IF hold IS NOT NULL THEN
                RETURN hold;
            END IF;
        END LOOP;
    END LOOP;
    RETURN NULL;
END
$$;

DROP FUNCTION ops.hold_around(regclass, jsonb, boolean);
