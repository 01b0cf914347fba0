-- name: count_users
-- How many users there are, how many of them a sample made, and under which seeds.
-- Reads all of users once, under ACCESS SHARE.
SELECT
    count(*),
    count(*) FILTER (WHERE clerk_id ~ '^sample_\d+_\d+$'),
    array_agg(DISTINCT split_part(clerk_id, '_', 2)) FILTER (WHERE clerk_id ~ '^sample_\d+_\d+$')
FROM users

-- name: measure_size
-- Bytes of the tables that a sample fills, with their partitions, indexes and TOAST.
-- Reads file sizes only.
SELECT sum(pg_total_relation_size(t.relid))::bigint
FROM unnest(%(tables)s::text[]) AS name
CROSS JOIN LATERAL pg_partition_tree(('public.' || name)::regclass) AS t

-- name: create_sample_passages
-- The pool of prose that segments draw from: two halves of a text and a caption a row.
-- Locks nothing that others see; dropped with the session.
CREATE TEMPORARY TABLE sample_passages (
    number integer PRIMARY KEY,
    opening text NOT NULL,
    closing text NOT NULL,
    caption text NOT NULL
)

-- name: create_sample_seats
-- Who sits in a family: eight seats each. Dropped with the session.
CREATE TEMPORARY TABLE sample_seats (
    family integer NOT NULL,
    seat integer NOT NULL,
    user_number integer NOT NULL,
    user_id uuid NOT NULL,
    PRIMARY KEY (family, seat)
)

-- name: create_sample_slots
-- The order in which threads receive segments: round after round over the same slots.
-- Dropped with the session.
CREATE TEMPORARY TABLE sample_slots (
    slot bigint PRIMARY KEY,
    thread_id uuid NOT NULL,
    family integer NOT NULL,
    weight integer NOT NULL,
    turn integer NOT NULL
)

-- name: create_sample_threads
-- The threads and how busy each is. Dropped with the session.
CREATE TEMPORARY TABLE sample_threads (
    number integer PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    family integer NOT NULL,
    book integer NOT NULL,
    weight integer NOT NULL
)

-- name: fill_sample_passages
-- Writes 8,192 passages out of words, so that they read, and compress, about as prose does.
-- One in sixteen ends in another script, in emoji, or in what escaping gets wrong.
-- Locks nothing that others see; a quarter of a second. Lists hold a power of two words, because
-- a slice of a hash picks from them.
INSERT INTO sample_passages (number, opening, closing, caption)
WITH words AS (
    SELECT
        string_to_array(
            'my grandmother|Uncle Aurelio|our mother|the twins|Aunt Margit|the baker|Cousin Ines'
            '|grandfather|old Mr. Halloran|my sister|the schoolteacher|Nana Folasade|my father'
            '|the neighbours|little Tomasz|Great-aunt Wilhelmina|the postman|Babcia|Dr. Venter'
            '|my brother|both of us|the midwife|Father Brandão|the girl next door|Opa Jürgen'
            '|your godmother|the whole choir|Captain Reyes|Aunt Siobhán|my best friend'
            '|the landlady|Granny Mbali',
            '|'
        ) AS who,
        string_to_array(
            'carried|mended|lost|found|painted|sold|hid|remembered|buried|promised|borrowed'
            '|brought home|never forgave|polished|gave away|photographed|inherited|took apart'
            '|wrote about|dreamt of|baked|unwrapped|kept|broke|laughed at|sang to|bargained for'
            '|cleaned|won|traded|cursed|danced around',
            '|'
        ) AS deed,
        string_to_array(
            'blue|crooked|tiny|enormous|rusty|silver|borrowed|forgotten|ancient|hand-made|yellow'
            '|frozen|noisy|stubborn|famous|wooden|broken|sweet|burnt|velvet|secret|muddy|golden'
            '|second-hand|faded|heavy|empty|beloved|lopsided|foreign|cheap|priceless|dusty|green'
            '|striped|squeaking|unfinished|early|patient|salty|brass|white|ugly|brave|quiet'
            '|winter|spare|hollow|proud|gentle|long|left-over|curious|terrible|sleepy|proper'
            '|smoky|woollen|lucky|last|narrow|painted|clever|bitter',
            '|'
        ) AS adjective,
        string_to_array(
            'bicycle|accordion|recipe book|wedding dress|suitcase|piano|ladder|rowing boat'
            '|letter|kitchen table|clock|tractor|cradle|photograph|goat|fishing rod|radio'
            '|apple cake|quilt|ring|lantern|map|violin|umbrella|stove|chess set|train ticket'
            '|birdcage|notebook|christening gown|toolbox|harmonica|orchard gate|sewing machine'
            '|teapot|sled|medal|school bell|tent|pocket watch|caravan|typewriter|mirror|barrel'
            '|cuckoo clock|postcard|mandolin|garden wall|passport|kite|cup|wheelbarrow|telescope'
            '|hat|blanket|telegram|camera|pie|whistle|bench|diary|globe|well|parrot',
            '|'
        ) AS thing,
        string_to_array(
            'behind the church|on the ferry|at the market|under the stairs|in the attic'
            '|by the canal|near the border|in the orchard|at the station|on the roof'
            '|across the valley|in the cellar|outside the town hall|on the beach|at school'
            '|in the waiting room|along the old road|below the mill|at the harbour'
            '|next to the well|in the front room|between the vines|at the end of the lane'
            '|over the bakery|in the hospital|on the night train|in the barn|at the fair'
            '|beside the fire|in the snow|upstairs|out on the ice',
            '|'
        ) AS place,
        string_to_array(
            'that summer|before the war|after the flood|on Easter morning|in the hungry year'
            '|every single Sunday|the week I was born|during the strike|when the power failed'
            '|long before dawn|on the day of the wedding|the winter we moved|at harvest time'
            '|when nobody was looking|just after the funeral|on his ninetieth birthday'
            '|for eleven years|the year the river froze|one rainy evening|as children'
            '|when the tent collapsed|on New Year''s Eve|until the letter came'
            '|the morning we left|at half past four|in those days|twice a week'
            '|after the second glass|on the first warm day|without a word|that very night'
            '|as long as I can remember',
            '|'
        ) AS moment,
        string_to_array(
            'Adaeze|Agnes|Aisha|Albin|Anneke|Arturo|Beatriz|Bohdan|Carmen|Chidi|Clara|Dagny|Daan'
            '|Delphine|Dmitri|Edith|Elif|Emeka|Esther|Fatima|Femke|Gaspard|Greta|Hana|Haruto|Ida'
            '|Ilse|Imani|Ivo|Jadwiga|Joaquim|Kamala|Katya|Kofi|Lars|Leila|Lucía|Magda|Mateus|Mei'
            '|Miriam|Nikos|Noor|Oleander|Olu|Paloma|Piet|Priya|Rafael|Rosalind|Ruth|Sanjay|Seamus'
            '|Signe|Suleiman|Tadeusz|Teodora|Umberto|Vera|Walburga|Xanthe|Yusuf|Zofia|Zora',
            '|'
        ) AS given,
        string_to_array(
            'Ash|Bram|Birch|Carn|Cold|Crow|Dun|East|Elm|Fair|Fen|Glen|Grey|Harrow|Hazel|High'
            '|Holl|Iron|Kest|Kings|Lang|Lark|Maple|March|Mill|Nether|North|Oak|Otter|Pem|Quarr'
            '|Raven|Red|Rother|Salt|Shel|Silver|South|Stan|Stone|Storr|Sutt|Swan|Tam|Thorn|Tor'
            '|Up|Vell|Wake|Wal|Wether|West|Whit|Wick|Wild|Wim|Wind|Winter|Wolver|Wood|Wren|Yar'
            '|Yew|Zell',
            '|'
        ) AS stem,
        string_to_array(
            'borough|bridge|brook|bury|by|combe|cote|dale|den|don|field|fleet|ford|gate|ham|haven'
            '|hurst|leigh|low|mere|minster|mouth|ness|port|shaw|stead|stow|thorpe|ton|wick|wold'
            '|worth',
            '|'
        ) AS ending,
        ARRAY[
            '👵🏽 ❤️ 👨‍👩‍👧‍👦 🇵🇱',
            'جدتي كانت تروي لنا هذه القصة كل شتاء.',
            'סבתא סיפרה לנו את הסיפור הזה בכל חורף.',
            'नानी यह कहानी हर जाड़े में सुनाती थीं।',
            '祖母は毎年冬になるとこの話をしてくれた。',
            '할머니는 겨울마다 이 이야기를 들려주셨다.',
            'Бабушка рассказывала об этом каждую зиму.',
            '— «Ça alors!» — œuvre, ﬁn, ½, ‰, 𝄞 🎻',
            U&'Cafe\0301 Zu\0308rich, nai\0308ve, Vie\0323\0302t Nam.',
            U&'Z\0351\0343a\0321l\0334g\0322o\0321',
            U&'\200F\202B\0645\0631\062D\0628\0627 42 Hello\202C\200E',
            U&'soft\00ADhyphen, zero\200Bwidth, no\00A0break',
            E'First line\nsecond line\r\n\tindented',
            E'She said: "It''s \\N, not NULL", and laughed.',
            E'100 %% wool; 3 < 4 & 5 > 2; C:\\photos\\1962',
            '{"not": ["json", null]}'
        ] AS other_script
),

sentences AS (
    SELECT
        passage,
        position,
        other_script,
        CASE h & 7
            WHEN 0 THEN
                upper(left(moment[1 + m], 1)) || substr(moment[1 + m], 2) || ', ' || person || ' '
                || deed[1 + d] || ' the ' || adjective[1 + a] || ' ' || thing[1 + t] || ' '
                || place[1 + p] || '.'
            WHEN 1 THEN
                'I still have the ' || adjective[1 + a] || ' ' || thing[1 + t] || ' that '
                || who[1 + w] || ' ' || deed[1 + d] || ' in ' || town || ' on ' || day || '.'
            WHEN 2 THEN
                person || ' ' || deed[1 + d] || ' it, not ' || who[1 + w] || '; the '
                || thing[1 + t] || ' was ' || adjective[1 + a] || ', ' || place[1 + p] || '.'
            WHEN 3 THEN
                'We ' || deed[1 + d] || ' ' || (2 + (j & 255))::text || ' ' || adjective[1 + a]
                || ' ones ' || place[1 + p] || ', ' || moment[1 + m] || '.'
            WHEN 4 THEN
                town || ', ' || day || '. ' || person || ' ' || deed[1 + d] || ' a '
                || thing[1 + t] || ' ' || moment[1 + m] || '.'
            WHEN 5 THEN
                'Can you see ' || person || ' with the ' || thing[1 + t] || ', and the '
                || adjective[1 + a] || ' ' || thing[1 + (t # 21)] || ' ' || who[1 + w] || ' '
                || deed[1 + d] || '?'
            WHEN 6 THEN
                'But ' || who[1 + w] || ' ' || deed[1 + d] || ' nothing ' || moment[1 + m] || '; ' || person
                || ' ' || deed[1 + (d # 13)] || ' the ' || adjective[1 + a] || ' '
                || thing[1 + t] || '.'
            ELSE
                'From ' || town || ' it is ' || (3 + (j & 127))::text || ' miles: ' || person
                || ', ' || who[1 + w] || ' and the ' || adjective[1 + a] || ' ' || thing[1 + t]
                || ', ' || day || '.'
        END AS sentence
    FROM words
    CROSS JOIN generate_series(0, 8191) AS passage
    CROSS JOIN generate_series(0, 10) AS position
    CROSS JOIN LATERAL (
        SELECT
            hashint8extended(passage * 16 + position, %(seed)s::bigint) AS h,
            hashint8extended(passage * 16 + position, %(seed)s::bigint + 1) AS j
    ) AS draw
    CROSS JOIN LATERAL (
        SELECT
            (h >> 3 & 31)::integer AS w,
            (h >> 8 & 31)::integer AS d,
            (h >> 13 & 63)::integer AS a,
            (h >> 19 & 63)::integer AS t,
            (h >> 25 & 31)::integer AS p,
            (h >> 30 & 31)::integer AS m,
            stem[1 + (h >> 35 & 63)] || ending[1 + (h >> 41 & 31)] AS town,
            given[1 + (h >> 46 & 63)] || ' ' || stem[1 + (j >> 8 & 63)]
            || ending[1 + (j >> 14 & 31)] AS person,
            to_char(date '1921-01-01' + (j >> 20 & 32767)::integer, 'FMDD FMMonth YYYY')
                AS day
    ) AS phrase
)

-- One to five sentences a half: three on average, which is about 250 bytes.
SELECT
    passage,
    string_agg(sentence, ' ' ORDER BY position) FILTER (WHERE position <= opening_length),
    string_agg(sentence, ' ' ORDER BY position)
        FILTER (WHERE position BETWEEN 5 AND 5 + closing_length)
    || CASE
        WHEN (lengths & 15) = 0 THEN ' ' || other_script[1 + (lengths >> 4 & 15)]
        ELSE ''
    END,
    max(sentence) FILTER (WHERE position = 10)
FROM sentences
CROSS JOIN LATERAL hashint8extended(passage, %(seed)s::bigint + 2) AS lengths
CROSS JOIN LATERAL (
    SELECT
        mod(lengths >> 8 & 65535, 5) AS opening_length,
        mod(lengths >> 24 & 65535, 5) AS closing_length
) AS draw
GROUP BY passage, lengths, other_script, closing_length

-- name: fill_sample_seats
-- Eight members a family. In every fifth one, seat 6 is taken by the next family's seat 3, a
-- user who then belongs to two families. Writes only to the temporary table.
INSERT INTO sample_seats (family, seat, user_number, user_id)
SELECT family, seat, user_number, md5(%(seed)s::text || ':user:' || user_number)::uuid
FROM generate_series(0, %(families)s::integer - 1) AS family
CROSS JOIN generate_series(0, 7) AS seat
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN seat = 6 AND mod(family, 5) = 0 AND %(families)s::integer > 1
                THEN mod(family + 1, %(families)s::integer) * 8 + 3
            ELSE family * 8 + seat
        END AS user_number
) AS occupant

-- name: fill_sample_slots
-- A thread of weight w has w slots, shuffled among all others. Segment number n takes slot
-- n mod slots and is, in its thread, number (n / slots) * w + turn: known without looking at
-- any other segment, unique, and rising with time over all months.
-- Writes only to the temporary table.
INSERT INTO sample_slots (slot, thread_id, family, weight, turn)
SELECT
    slot,
    id,
    family,
    weight,
    row_number() OVER (PARTITION BY id ORDER BY slot)
FROM (
    SELECT
        row_number() OVER (
            ORDER BY hashint8extended(t.number::bigint * 8 + copy, %(seed)s::bigint + 4), t.number,
                copy
        ) - 1 AS slot,
        t.id,
        t.family,
        t.weight
    FROM sample_threads AS t
    CROSS JOIN LATERAL generate_series(1, t.weight) AS copy
) AS shuffled

-- name: fill_sample_threads
-- A hundred threads a family, spread by chance over its five books; in every seventh family one
-- book has none. A thread's weight is its share of the content; one in sixteen stays empty.
-- Writes only to the temporary table.
INSERT INTO sample_threads (number, id, family, book, weight)
SELECT
    number,
    md5(%(seed)s::text || ':thread:' || number)::uuid,
    number / 100,
    number / 100 * 5
    + mod((h >> 8 & 65535)::integer, CASE WHEN mod(number / 100, 7) = 0 THEN 4 ELSE 5 END),
    (ARRAY[0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 6])[1 + (h & 15)]
FROM generate_series(0, %(families)s::integer * 100 - 1) AS number
CROSS JOIN LATERAL hashint8extended(number, %(seed)s::bigint + 3) AS h

-- name: insert_audit_log
-- The trail of one month's edits and deletions.
INSERT INTO audit_log (
    id, user_id, action, table_name, record_id, old_values, new_values, ip_address, user_agent,
    created_at
)
SELECT
    md5(cs.id || ':' || event.action)::uuid,
    cs.user_id,
    event.action,
    'content_segments',
    cs.id,
    event.old_values,
    event.new_values,
    CASE h & 3
        WHEN 0 THEN NULL
        WHEN 1 THEN ('2001:db8::' || to_hex(h >> 2 & 65535))::inet
        ELSE '198.51.100.0'::inet + (h >> 2 & 255)
    END,
    CASE WHEN (h >> 20 & 7) <> 0 THEN 'FamilyTales/' || (1 + (h >> 23 & 7)) || '.0 (iOS)' END,
    event.at
FROM content_segments AS cs
CROSS JOIN LATERAL uuid_hash_extended(cs.id, %(seed)s::bigint + 22) AS h
CROSS JOIN LATERAL (
    VALUES
        ('segment.edit', cs.edited_at, jsonb '{"is_edited": false}', jsonb '{"is_edited": true}'),
        ('segment.delete', cs.deleted_at, '{"is_deleted": false}', '{"is_deleted": true}')
) AS event (action, at, old_values, new_values)
WHERE cs.created_at >= %(month_start)s
  AND cs.created_at < %(month_end)s
  AND event.at IS NOT NULL

-- name: insert_content_links
-- Links from one in eight of one month's segments to an earlier one: replies and continuations
-- in their own thread, references in any thread of the family. The target is found by its key,
-- so most links lead to other months; where there is no such segment there is no link.
INSERT INTO content_links (
    id, source_segment_id, target_segment_id, link_type, created_by, created_at, metadata
)
SELECT
    md5(cs.id || ':link')::uuid,
    cs.id,
    k.id,
    kind.link_type,
    cs.user_id,
    cs.created_at,
    CASE WHEN (h >> 5 & 7) = 0 THEN NULL ELSE '{}'::jsonb END
FROM content_segments AS cs
CROSS JOIN LATERAL uuid_hash_extended(cs.id, %(seed)s::bigint + 21) AS h
CROSS JOIN LATERAL (
    SELECT (ARRAY['reply', 'reply', 'continuation', 'reference'])[1 + (h >> 3 & 3)] AS link_type
) AS kind
JOIN sample_threads AS here ON here.id = cs.thread_id
JOIN sample_threads AS there
    ON there.number = CASE kind.link_type
        WHEN 'reference' THEN here.family * 100 + mod(h >> 8 & 65535, 100)
        ELSE here.number
    END
JOIN content_segment_keys AS k
    ON k.thread_id = there.id
    AND k.sequence_number = cs.sequence_number
        - CASE kind.link_type WHEN 'continuation' THEN 1 ELSE 1 + (h >> 24 & 3) END
    AND k.created_at < cs.created_at
WHERE cs.created_at >= %(month_start)s
  AND cs.created_at < %(month_end)s
  AND (h & 7) = 0

-- name: insert_content_segments
-- One month's segments, spread evenly over it: the first at its first instant, the last a
-- microsecond before its end, because those are the rows that a wrong bound loses. Every trigger
-- fires, which is more than half of some 70 µs a row.
INSERT INTO content_segments (
    id, thread_id, user_id, content_type, sequence_number, text_content, audio_url,
    audio_duration_seconds, audio_transcript, photo_urls, is_edited, edited_at, is_deleted,
    deleted_at, created_at, view_count, reaction_count, metadata
)
SELECT
    md5(%(seed)s::text || ':segment:' || d.number)::uuid,
    d.thread_id,
    author.user_id,
    d.content_type,
    d.sequence_number,
    CASE d.content_type
        WHEN 'text' THEN
            CASE d.oddity
                WHEN 0 THEN NULL
                WHEN 1 THEN ''
                -- A long story, out of line in its own TOAST chunks.
                WHEN 2 THEN (
                    SELECT string_agg(p.opening || ' ' || p.closing, ' ' ORDER BY p.number)
                    FROM sample_passages AS p
                    WHERE p.number BETWEEN d.passage AND d.passage + 19
                )
                ELSE one.opening || ' ' || other.closing
            END
        WHEN 'photo' THEN CASE WHEN (d.j & 3) = 0 THEN other.caption END
        WHEN 'mixed' THEN one.opening
    END,
    CASE
        WHEN d.has_audio
            THEN 'https://media.familytales.example/audio/'
                || md5(%(seed)s::text || ':audio:' || d.number) || '.m4a'
    END,
    CASE WHEN d.has_audio THEN 5 + (d.j >> 2 & 127)::integer END,
    CASE
        WHEN d.has_audio AND (d.j >> 9 & 3) <> 0
            THEN one.closing || ' ' || other.opening || ' ' || other.closing
    END,
    CASE
        WHEN d.oddity = 3 THEN '{}'::text[]
        WHEN d.has_photos THEN ARRAY(
            SELECT
                'https://media.familytales.example/photos/'
                || md5(%(seed)s::text || ':photo:' || d.number || ':' || photo) || '.jpg'
            FROM generate_series(1, 1 + mod(d.j >> 11 & 65535, 5)) AS photo
        )
    END,
    CASE WHEN d.oddity = 4 THEN NULL ELSE d.is_edited END,
    CASE WHEN d.is_edited THEN d.created_at + (d.last_instant - d.created_at) * 0.3 END,
    CASE WHEN d.oddity = 5 THEN NULL ELSE d.is_deleted END,
    CASE WHEN d.is_deleted THEN d.created_at + (d.last_instant - d.created_at) * 0.6 END,
    d.created_at,
    -- Most are seen a few times, some often.
    CASE WHEN d.oddity <> 6 THEN ((d.j >> 27 & 1023) * (d.j >> 27 & 1023) >> 12)::integer END,
    CASE WHEN d.oddity <> 6 THEN (d.j >> 37 & 7)::integer END,
    CASE
        WHEN d.oddity = 7 THEN NULL
        ELSE jsonb_build_object(
            'device_type', (ARRAY['iPhone 15', 'Pixel 8', 'iPad', NULL])[1 + (d.j >> 40 & 3)],
            'location', CASE
                WHEN (d.j >> 42 & 1) = 0 THEN jsonb_build_object(
                    'lat', round(((d.j >> 43 & 65535) - 20000)::numeric / 1000, 3),
                    'lon', round((d.h >> 43 & 65535)::numeric / 1000, 3)
                )
            END,
            'weather', (ARRAY['sun', 'rain', 'snow', NULL])[1 + (d.j >> 59 & 3)],
            'ai_insights', jsonb_build_object(
                'sentiment', round((d.j >> 20 & 127)::numeric / 128, 2),
                'topics', jsonb_build_array((ARRAY['family', 'food', 'home', 'war'])[1 + (d.j & 3)])
            )
        )
    END
FROM (
    SELECT
        n.number,
        s.thread_id,
        s.family,
        (s.turn + s.weight * (n.number / %(slots)s::bigint))::integer AS sequence_number,
        n.h,
        n.j,
        n.last_instant,
        CASE n.position
            WHEN 0 THEN n.month_start
            WHEN %(segments)s::bigint - 1 THEN n.last_instant
            ELSE n.month_start + interval '1 microsecond' * (
                (n.position * n.length + mod(n.h >> 1 & 4611686018427387903, n.length))
                / %(segments)s::bigint
            )
        END AS created_at,
        (n.h >> 7 & 1023) AS author_draw,
        (n.h >> 17 & 8191)::integer AS passage,
        (n.h >> 30 & 8191)::integer AS other_passage,
        (n.h >> 55 & 511)::integer AS oddity,
        CASE WHEN (n.h & 127) < 77 THEN 'text'
             WHEN (n.h & 127) < 102 THEN 'photo'
             WHEN (n.h & 127) < 118 THEN 'audio'
             ELSE 'mixed' END AS content_type,
        (n.h & 127) BETWEEN 102 AND 121 AS has_audio,
        (n.h & 127) BETWEEN 77 AND 101 OR (n.h & 127) >= 119 AS has_photos,
        (n.j >> 48 & 31) < 2 AS is_edited,
        (n.j >> 53 & 31) < 1 AS is_deleted
    FROM (
        SELECT
            position,
            position + %(preceding)s::bigint AS number,
            hashint8extended(position + %(preceding)s::bigint, %(seed)s::bigint + 11) AS h,
            hashint8extended(position + %(preceding)s::bigint, %(seed)s::bigint + 12) AS j,
            %(month_start)s::timestamptz AS month_start,
            %(month_end)s::timestamptz - interval '1 microsecond' AS last_instant,
            (
                extract(epoch FROM %(month_end)s::timestamptz - %(month_start)s::timestamptz)
                * 1000000
            )::bigint AS length
        FROM generate_series(0, %(segments)s::bigint - 1) AS position
    ) AS n
    JOIN sample_slots AS s ON s.slot = mod(n.number, %(slots)s::bigint)
) AS d
-- Seats 0 to 6 write, the lower ones more; seat 7 is the viewer's.
JOIN sample_seats AS author
    ON author.family = d.family AND author.seat = (7 * d.author_draw * d.author_draw >> 20)
JOIN sample_passages AS one ON one.number = d.passage
JOIN sample_passages AS other ON other.number = d.other_passage

-- name: insert_content_tags
-- One to three tags on a quarter of one month's segments: half a tag a segment.
INSERT INTO content_tags (id, content_segment_id, tag_name, tagged_by, created_at)
SELECT
    md5(cs.id || ':tag:' || tag)::uuid,
    cs.id,
    names[1 + (((h >> 4 & 31) + tag * 11) & 31)],
    cs.user_id,
    cs.created_at
FROM content_segments AS cs
CROSS JOIN LATERAL uuid_hash_extended(cs.id, %(seed)s::bigint + 20) AS h
CROSS JOIN LATERAL generate_series(1, 1 + mod(h >> 9 & 65535, 3)) AS tag
CROSS JOIN string_to_array(
    'grandma|grandpa|wedding|recipes|christmas|summer|childhood|school|war|emigration|music|garden'
    '|holiday|house|letters|animals|work|church|birthday|journey|baby|winter|sea|farm|friends'
    '|Weihnachten|عائلة|семья|家族|famille 💛|Größe|café',
    '|'
) AS names
WHERE cs.created_at >= %(month_start)s
  AND cs.created_at < %(month_end)s
  AND (h & 3) = 0

-- name: insert_families
-- The families, each owned by its seat 0.
INSERT INTO families (
    id, name, description, owner_id, subscription_tier, storage_limit_bytes, is_active, created_at,
    updated_at
)
SELECT
    md5(%(seed)s::text || ':family:' || s.family)::uuid,
    coalesce('The ' || regexp_replace(u.display_name, '^\S+ ', '') || ' family', 'A family'),
    CASE WHEN (h & 3) = 0 THEN 'Everybody''s stories since ' || (1880 + (h >> 2 & 63)) END,
    s.user_id,
    u.subscription_tier,
    CASE u.subscription_tier WHEN 'free' THEN 5368709120 ELSE 53687091200 END,
    (h >> 8 & 63) <> 0,
    u.created_at,
    u.created_at
FROM sample_seats AS s
JOIN users AS u ON u.id = s.user_id
CROSS JOIN LATERAL hashint8extended(s.family, %(seed)s::bigint + 6) AS h
WHERE s.seat = 0

-- name: insert_family_invites
-- Two invitations a family: one that seat 5 accepted, one that is open or has expired.
INSERT INTO family_invites (
    id, family_id, email, role, invited_by, invite_code, expires_at, accepted_at, accepted_by,
    created_at, metadata
)
SELECT
    md5(%(seed)s::text || ':invite:' || s.family || ':' || invite.kind)::uuid,
    f.id,
    invite.email,
    'member',
    f.owner_id,
    md5(%(seed)s::text || ':code:' || s.family || ':' || invite.kind),
    invite.sent_at + interval '7 days',
    invite.accepted_at,
    CASE WHEN invite.accepted_at IS NOT NULL THEN s.user_id END,
    invite.sent_at,
    jsonb_build_object('message', 'Come and tell your stories', 'permissions', '{}'::jsonb)
FROM sample_seats AS s
JOIN families AS f ON f.id = md5(%(seed)s::text || ':family:' || s.family)::uuid
JOIN users AS u ON u.id = s.user_id
CROSS JOIN LATERAL hashint8extended(s.family, %(seed)s::bigint + 8) AS h
CROSS JOIN LATERAL (
    VALUES
        ('accepted', u.email, f.created_at, f.created_at + interval '1 day'),
        (
            'pending',
            'relative.' || s.family || '@sample-' || %(seed)s::text || '.example',
            %(until)s::timestamptz - (h & 15) * interval '1 day',
            NULL
        )
) AS invite (kind, email, sent_at, accepted_at)
WHERE s.seat = 5

-- name: insert_family_members
-- Eight members a family: owner, admin, editor, members, and a viewer who writes nothing.
INSERT INTO family_members (
    id, family_id, user_id, role, joined_at, invited_by, is_active, permissions
)
SELECT
    md5(%(seed)s::text || ':member:' || s.family || ':' || s.seat)::uuid,
    f.id,
    s.user_id,
    roles[1 + s.seat],
    u.created_at,
    CASE WHEN s.seat > 0 THEN f.owner_id END,
    s.seat = 0 OR (h & 15) <> 0,
    jsonb_build_object(
        'can_edit', s.seat < 3,
        'can_delete', s.seat < 2,
        'can_invite', s.seat < 2,
        'can_download', true
    )
FROM sample_seats AS s
JOIN families AS f ON f.id = md5(%(seed)s::text || ':family:' || s.family)::uuid
JOIN users AS u ON u.id = s.user_id
CROSS JOIN LATERAL hashint8extended(s.family * 8 + s.seat, %(seed)s::bigint + 7) AS h
CROSS JOIN string_to_array('owner|admin|editor|member|member|member|member|viewer', '|') AS roles

-- name: insert_memory_books
-- Five books a family. The stored counters keep their defaults: nothing maintains them.
INSERT INTO memory_books (
    id, family_id, title, description, cover_image_url, created_by, is_collaborative, privacy,
    last_activity_at, created_at, updated_at
)
SELECT
    md5(%(seed)s::text || ':book:' || book)::uuid,
    f.id,
    titles[1 + (h & 15)],
    CASE WHEN (h >> 4 & 1) = 0 THEN p.caption END,
    CASE
        WHEN (h >> 5 & 3) <> 0
            THEN 'https://media.familytales.example/covers/' || md5(book::text) || '.jpg'
    END,
    s.user_id,
    (h >> 7 & 7) <> 0,
    CASE h >> 10 & 15 WHEN 0 THEN 'private' WHEN 1 THEN 'public' WHEN 2 THEN NULL ELSE 'family' END,
    f.created_at,
    f.created_at,
    f.created_at
FROM generate_series(0, %(families)s::integer * 5 - 1) AS book
CROSS JOIN LATERAL hashint8extended(book, %(seed)s::bigint + 9) AS h
JOIN families AS f ON f.id = md5(%(seed)s::text || ':family:' || book / 5)::uuid
JOIN sample_seats AS s ON s.family = book / 5 AND s.seat = (h >> 14 & 3)
JOIN sample_passages AS p ON p.number = (h >> 16 & 8191)
CROSS JOIN string_to_array(
    'Grandma''s kitchen|The farm|Letters home|Weddings|Our first house|Summers by the sea'
    '|Recipes worth keeping|School days|The long journey|Grandpa''s workshop|Christmas stories'
    '|The war years|Babies 👶|حكايات جدتي|Lieder und Gedichte|Family tree',
    '|'
) AS titles

-- name: insert_photo_narrations
-- Narrations for half of one month's photos. The month's bounds prune to its partition.
INSERT INTO photo_narrations (
    id, content_segment_id, photo_index, narration_text, narration_type, confidence_score, language,
    created_by, created_at, updated_at, metadata
)
SELECT
    md5(cs.id || ':narration:' || photo)::uuid,
    cs.id,
    photo - 1,
    p.caption,
    kind.narration_type,
    CASE WHEN kind.narration_type = 'ai' THEN 0.5 + (h >> 3 & 511)::float / 1024 END,
    (ARRAY['en', 'en', 'de', NULL])[1 + (h >> 12 & 3)],
    CASE WHEN kind.narration_type <> 'ai' THEN cs.user_id END,
    cs.created_at,
    cs.created_at,
    jsonb_build_object(
        'model_version', 'narrator-' || (1 + (h >> 14 & 3)),
        'detected_objects', to_jsonb(string_to_array(p.caption, ' ')),
        'detected_people', '[]'::jsonb
    )
FROM content_segments AS cs
CROSS JOIN LATERAL generate_series(1, cardinality(cs.photo_urls)) AS photo
CROSS JOIN LATERAL uuid_hash_extended(cs.id, %(seed)s::bigint + 13 + photo) AS h
CROSS JOIN LATERAL (
    SELECT (ARRAY['ai', 'ai', 'user', 'edited'])[1 + (h >> 1 & 3)] AS narration_type
) AS kind
JOIN sample_passages AS p ON p.number = (h >> 16 & 8191)
WHERE cs.created_at >= %(month_start)s
  AND cs.created_at < %(month_end)s
  AND (h & 1) = 0

-- name: insert_threads
-- The threads, each begun by somebody of the family before its first segment.
INSERT INTO threads (
    id, memory_book_id, title, started_by, is_locked, created_at, updated_at, metadata
)
SELECT
    t.id,
    mb.id,
    CASE WHEN (h & 7) <> 0 THEN left(p.caption, 60) END,
    s.user_id,
    (h >> 3 & 31) = 0,
    mb.created_at,
    mb.created_at,
    jsonb_build_object(
        'topic', (ARRAY['childhood', 'food', 'travel', NULL])[1 + (h >> 8 & 3)],
        'mood', (ARRAY['joyful', 'tender', 'sad', NULL])[1 + (h >> 10 & 3)],
        'participants', '[]'::jsonb
    )
FROM sample_threads AS t
CROSS JOIN LATERAL hashint8extended(t.number, %(seed)s::bigint + 10) AS h
JOIN memory_books AS mb ON mb.id = md5(%(seed)s::text || ':book:' || t.book)::uuid
JOIN sample_seats AS s ON s.family = t.family AND s.seat = mod((h >> 12 & 65535)::integer, 7)
JOIN sample_passages AS p ON p.number = (h >> 28 & 8191)

-- name: insert_users
-- The users of the seats, each once. clerk_id marks them as a sample's.
INSERT INTO users (
    id, clerk_id, email, display_name, avatar_url, subscription_tier, subscription_expires_at,
    is_active, created_at, updated_at, last_login_at, metadata
)
SELECT
    s.user_id,
    'sample_' || %(seed)s::text || '_' || s.user_number,
    'member.' || s.user_number || '@sample-' || %(seed)s::text || '.example',
    CASE
        WHEN mod(s.user_number, 61) <> 60
            THEN given_names[1 + (h & 31)] || ' ' || surnames[1 + (h >> 5 & 31)]
    END,
    CASE
        WHEN (h >> 10 & 3) <> 0
            THEN 'https://media.familytales.example/avatars/' || s.user_id || '.webp'
    END,
    tiers[1 + (h >> 12 & 15)],
    CASE
        WHEN tiers[1 + (h >> 12 & 15)] <> 'free'
            THEN %(until)s::timestamptz + (h >> 16 & 511) * interval '1 day'
    END,
    CASE h >> 25 & 31 WHEN 0 THEN false WHEN 1 THEN NULL ELSE true END,
    joined.at,
    joined.at,
    -- Half of them within the last 30 days, the others up to four months ago, some never.
    CASE
        WHEN (h >> 30 & 15) <> 0
            THEN greatest(
                joined.at,
                %(until)s::timestamptz
                - ((h >> 34 & 1023) * (h >> 34 & 1023) >> 10) * interval '170 minutes'
            )
    END,
    jsonb_build_object('language', languages[1 + (h >> 44 & 7)], 'newsletter', (h >> 47 & 1) = 1)
FROM sample_seats AS s
CROSS JOIN LATERAL hashint8extended(s.user_number, %(seed)s::bigint + 5) AS h
CROSS JOIN LATERAL (
    SELECT %(first)s::timestamptz - (1 + (h >> 48 & 1023)) * interval '1 hour' AS at
) AS joined
CROSS JOIN (
    VALUES (
        string_to_array(
            'Adaeze|Agnes|Aïcha|Albin|Anneke|Arturo|Beatriz|Bohdan|Chidi|Clara|Dagny|Delphine'
            '|Edith|Elif|Fatima|Greta|Haruto|Ida|Imani|Joaquim|Kofi|Leïla|Lucía|Mateus|Nikos'
            '|Olu|Paloma|Priya|Ruth|Tadeusz|مريم|Zofia',
            '|'
        ),
        string_to_array(
            'Abdi|Andersson|Brandão|Chaudhry|Costa|Dlamini|Fernández|Fischer|García|Haddad|Ivanov'
            '|Jansen|Kim|Kowalski|Lindqvist|Mbeki|Müller|Nakamura|Nguyễn|Novák|O''Brien|Okafor'
            '|Papadopoulos|Petrov|Rossi|Sato|Silva|Smith|Tan|van der Berg|Yılmaz|حداد',
            '|'
        ),
        string_to_array(
            'free|free|free|free|free|free|free|free|free|premium|premium|premium|premium'
            '|premium|enterprise|enterprise',
            '|'
        ),
        string_to_array('en|en|en|de|es|pt|ar|ja', '|')
    )
) AS words (given_names, surnames, tiers, languages)
WHERE s.user_number = s.family * 8 + s.seat
