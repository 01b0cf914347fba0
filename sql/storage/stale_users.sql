-- Who shows another figure than the totals hold; who has no total has no content. Reads the
-- whole table; ACCESS SHARE.
SELECT r.id
FROM users AS r
LEFT JOIN ops.storage_users AS total ON total.user_id = r.id
WHERE r.storage_used_bytes IS DISTINCT FROM coalesce(total.bytes, 0)
ORDER BY r.id;
