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
