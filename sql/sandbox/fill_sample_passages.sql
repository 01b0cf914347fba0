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
