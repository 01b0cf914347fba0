-- What the rollup holds, one row a month.
SELECT
    month, segments, recordings + photos AS media, unsized, signature, media_added, media_altered
FROM ops.storage_months
ORDER BY month;
