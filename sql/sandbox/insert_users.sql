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
