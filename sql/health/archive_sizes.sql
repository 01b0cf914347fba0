-- Bytes in the archive's bucket by storage class, as the ledger knows them.
SELECT
    coalesce(o -> 'stored' ->> 'storage_class', 'unknown') AS storage_class,
    sum((o -> 'stored' ->> 'bytes')::bigint)::bigint AS bytes
FROM ops.archive AS a
CROSS JOIN LATERAL jsonb_array_elements(a.objects) AS o
WHERE a.state <> 'superseded'
GROUP BY 1
ORDER BY 1;
