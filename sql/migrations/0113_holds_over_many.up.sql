-- A hold over many rows. What comes into one in a transaction makes it searched for again once, and not once for
-- each segment: each time was another version of the hold's row, and another record of it for the archive's
-- bucket. Rows that refer to each other are told from those that were looked at by one probe, however many there
-- are. And what belongs to a segment is found over any number of rows, not over eight.

-- As before, and nothing where this transaction has done it: nobody searches for what it has not committed, and
-- whoever has begun before can't record an end. In a savepoint it is done each time.
CREATE OR REPLACE FUNCTION ops.search_again(hold bigint) RETURNS void
    LANGUAGE sql
    AS $$
    UPDATE ops.legal_holds AS h
    SET archived_months = NULL, archives_read_at = NULL, arrivals = coalesce(h.arrivals, 0) + 1
    WHERE h.id = hold
      AND h.released_at IS NULL
      AND (
          h.archived_months IS NOT NULL
          OR h.arrivals IS NULL
          OR h.xmin <> pg_current_xact_id()::xid
      )
$$;

-- Which standing hold holds a row, by what it belongs to, or, with all that belongs to it in turn, by that or by
-- what that belongs to. NULL: none, or once what it belongs to is gone: whoever removed that was asked then.
-- Each row is looked at once upwards and once downwards: they may be many, or come back to the first.
CREATE FUNCTION ops.hold_around(relation regclass, line jsonb, downwards boolean) RETURNS bigint
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
REVOKE EXECUTE ON FUNCTION ops.hold_around(regclass, jsonb, boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ops.hold_on_row(relation regclass, line jsonb) RETURNS bigint
    LANGUAGE sql
    AS $$
    SELECT ops.hold_around(relation, line, false)
$$;

-- As before, over any number of rows; `depth` is for who still gives it.
CREATE OR REPLACE FUNCTION ops.hold_below(above regclass, line jsonb, depth integer DEFAULT 0)
    RETURNS bigint
    LANGUAGE sql
    AS $$
    SELECT ops.hold_around(above, line, true)
$$;
