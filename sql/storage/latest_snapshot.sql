-- The snapshot that the totals in ops belong to.
SELECT snapshot AS name, lsn::text AS lsn, taken_at
FROM ops.storage_recomputations
ORDER BY id DESC
LIMIT 1;
