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
