-- The newest recomputation of every month.
SELECT taken_at, disagreements, examples
FROM ops.storage_recomputations
WHERE kind = 'every month'
ORDER BY id DESC
LIMIT 1;
