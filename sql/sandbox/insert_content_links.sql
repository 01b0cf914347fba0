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
