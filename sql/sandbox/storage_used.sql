-- What the families' totals add up to.
SELECT coalesce(sum(storage_used_bytes), 0)
FROM families;
