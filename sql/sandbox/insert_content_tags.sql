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
