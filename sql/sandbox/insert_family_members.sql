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
