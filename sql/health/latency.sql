-- name: has_content
-- Whether anybody has written anything. Reads one row.
SELECT EXISTS (SELECT FROM content_segment_keys);

-- name: sample_parameters
-- Real parameters of the product queries, one row a probe: the segment whose random id follows
-- the probe leads to its thread, family, one of its active members, and up to three tags that the
-- family uses near it. Busy threads and families come up as often as they have content, which is
-- how often they are looked at. One index probe a step. ACCESS SHARE only.
SELECT
    key.thread_id,
    mb.family_id,
    member.user_id,
    coalesce(used.tags, '{}') AS tags
FROM unnest(%(probes)s::uuid[]) AS probe (id)
CROSS JOIN LATERAL (
    SELECT k.thread_id
    FROM content_segment_keys AS k
    WHERE k.id >= probe.id
    ORDER BY k.id
    LIMIT 1
) AS key
JOIN threads AS t ON t.id = key.thread_id
JOIN memory_books AS mb ON mb.id = t.memory_book_id
CROSS JOIN LATERAL (
    SELECT fm.user_id
    FROM family_members AS fm
    WHERE fm.family_id = mb.family_id
      AND fm.is_active
    ORDER BY md5(probe.id::text || fm.user_id::text)
    LIMIT 1
) AS member
CROSS JOIN LATERAL (
    SELECT array_agg(near.tag_name) AS tags
    FROM (
        SELECT DISTINCT ct.tag_name
        FROM content_segment_keys AS k
        JOIN content_tags AS ct ON ct.content_segment_id = k.id
        WHERE k.thread_id = key.thread_id
        LIMIT 3
    ) AS near
) AS used;

-- name: may_become
-- Whether the session's user may SET ROLE to a role, which need not exist. Catalog only. On
-- PostgreSQL 15 every member may.
SELECT coalesce(
    pg_has_role(
        session_user,
        to_regrole(%(role)s),
        CASE
            WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET'
            ELSE 'MEMBER'
        END
    ),
    false
);
