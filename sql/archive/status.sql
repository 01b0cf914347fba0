-- name: newest_generations
-- The newest generation of every month that was ever archived, oldest month first. Reads the
-- ledger: a row a month and generation. ACCESS SHARE only.
SELECT DISTINCT ON (s.month)
    s.month,
    s.generation,
    s.state,
    coalesce(s.bytes, 0)::bigint AS bytes,
    s.archived_at,
    s.proven_at,
    s.error
FROM ops.archive_status AS s
ORDER BY s.month, s.generation DESC;

-- name: thaws_at_a_glance
-- Months that are asked back from Glacier or stand in the database again: a handful of rows.
SELECT t.month, t.state, t.purpose, t.requested_at, t.expires_at, t.error
FROM ops.thaws AS t
WHERE t.state NOT IN ('done', 'cancelled')
ORDER BY t.requested_at;

-- name: stored_bytes
-- Bytes in the archive's bucket by storage class, as both ledgers know them.
SELECT
    coalesce(o -> 'stored' ->> 'storage_class', 'unknown') AS storage_class,
    sum((o -> 'stored' ->> 'bytes')::bigint)::bigint AS bytes
FROM (
    SELECT state, objects FROM ops.archive
    UNION ALL
    SELECT state, objects FROM ops.audit_archive
) AS a
CROSS JOIN LATERAL jsonb_array_elements(a.objects) AS o
WHERE a.state <> 'superseded'
GROUP BY 1
ORDER BY 1;
