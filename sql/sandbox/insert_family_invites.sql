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
