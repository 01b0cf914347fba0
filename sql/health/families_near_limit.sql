-- Families that use more than a share of their plan's storage, the fullest first, with what each
-- gained a month over the three months before this one. Reads the totals of all families once, and
-- the rollup of the families found only. ACCESS SHARE only.
WITH near AS (
    SELECT
        f.id,
        t.bytes,
        f.storage_limit_bytes AS limit_bytes
    FROM ops.storage_families AS t
    JOIN families AS f ON f.id = t.family_id
    WHERE t.bytes * 100.0 > f.storage_limit_bytes * %(percent)s::numeric
    ORDER BY t.bytes::float8 / nullif(f.storage_limit_bytes, 0) DESC NULLS FIRST, f.id
    LIMIT %(most)s
)

SELECT
    near.id AS family_id,
    near.bytes,
    near.limit_bytes,
    coalesce(gained.bytes, 0)::bigint AS monthly_bytes
FROM near
CROSS JOIN LATERAL (
    SELECT sum(r.bytes) / 3 AS bytes
    FROM memory_books AS mb
    JOIN ops.storage_rollup AS r ON r.memory_book_id = mb.id
    WHERE mb.family_id = near.id
      AND r.month >= %(first)s
      AND r.month < %(until)s
) AS gained
ORDER BY near.bytes::float8 / nullif(near.limit_bytes, 0) DESC NULLS FIRST, near.id;
