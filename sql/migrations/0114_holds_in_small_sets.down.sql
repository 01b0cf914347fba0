-- The function as it was.
CREATE OR REPLACE FUNCTION ops.hold_around(relation regclass, line jsonb, downwards boolean) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    relations regclass[] := ARRAY[relation];
    lines jsonb[] := ARRAY[line];
    down boolean[] := ARRAY[downwards];
    seen jsonb := '{}';
    place integer := 1;
    reference record;
    other jsonb;
    identity text;
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
              -- Of what moves, its own place was asked before.
              AND NOT (downwards AND place = 1)
        LOOP
            EXECUTE format(
                'SELECT to_jsonb(p) FROM %s AS p, jsonb_populate_record(NULL::%s, $1) AS c WHERE %s',
                reference.parent, relations[place], reference.matches
            ) INTO other USING lines[place];
            CONTINUE WHEN other IS NULL;
            CASE reference.parent
                WHEN 'public.content_segment_keys'::regclass THEN
                    hold := ops.hold_on_key((other ->> 'id')::uuid);
                WHEN 'public.threads'::regclass THEN
                    hold := ops.hold_on_thread(
                        (other ->> 'id')::uuid, (other ->> 'memory_book_id')::uuid,
                        (other ->> 'started_by')::uuid
                    );
                WHEN 'public.memory_books'::regclass THEN
                    hold := ops.hold_on_book(
                        (other ->> 'id')::uuid, (other ->> 'family_id')::uuid,
                        (other ->> 'created_by')::uuid
                    );
                WHEN 'public.users'::regclass, 'public.families'::regclass THEN
                    SELECT s.hold_id INTO hold
                    FROM ops.held_subjects AS s
                    WHERE s.id = (other ->> 'id')::uuid
                      AND s.kind = CASE reference.parent
                          WHEN 'public.users'::regclass THEN 'user' ELSE 'family' END
                      AND s.whole
                    LIMIT 1;
                ELSE
                    identity := md5('up ' || reference.parent::oid || ' ' || other);
                    IF NOT seen ? identity THEN
                        seen := seen || jsonb_build_object(identity, NULL);
                        relations := array_append(relations, reference.parent);
                        lines := array_append(lines, other);
                        down := array_append(down, false);
                    END IF;
            END CASE;
            IF hold IS NOT NULL THEN
                RETURN hold;
            END IF;
        END LOOP;
        FOR reference IN
            SELECT
                con.conrelid::regclass AS child,
                (
                    SELECT string_agg(format('c.%I = p.%I', ca.attname, pa.attname), ' AND ')
                    FROM unnest(con.conkey, con.confkey) AS k (child, parent)
                    JOIN pg_attribute AS ca ON ca.attrelid = con.conrelid AND ca.attnum = k.child
                    JOIN pg_attribute AS pa
                        ON pa.attrelid = con.confrelid AND pa.attnum = k.parent
                ) AS matches
            FROM pg_constraint AS con
            WHERE down[place]
              AND con.confrelid = relations[place]
              AND con.contype = 'f'
              AND con.confdeltype = 'c'
              AND con.conparentid = 0
        LOOP
            FOR other IN EXECUTE format(
                'SELECT to_jsonb(c) FROM %s AS c, jsonb_populate_record(NULL::%s, $1) AS p WHERE %s',
                reference.child, relations[place], reference.matches
            ) USING lines[place] LOOP
                identity := md5('down ' || reference.child::oid || ' ' || other);
                IF NOT seen ? identity THEN
                    seen := seen || jsonb_build_object(identity, NULL);
                    relations := array_append(relations, reference.child);
                    lines := array_append(lines, other);
                    down := array_append(down, true);
                END IF;
            END LOOP;
        END LOOP;
        place := place + 1;
    END LOOP;
    RETURN NULL;
END
$$;
