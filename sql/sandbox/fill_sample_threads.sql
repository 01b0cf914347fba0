-- A hundred threads a family, spread by chance over its five books; in every seventh family one
-- book has none. A thread's weight is its share of the content; one in sixteen stays empty.
-- Writes only to the temporary table.
INSERT INTO sample_threads (number, id, family, book, weight)
SELECT
    number,
    md5(%(seed)s::text || ':thread:' || number)::uuid,
    number / 100,
    number / 100 * 5
    + mod((h >> 8 & 65535)::integer, CASE WHEN mod(number / 100, 7) = 0 THEN 4 ELSE 5 END),
    (ARRAY[0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 6])[1 + (h & 15)]
FROM generate_series(0, %(families)s::integer * 100 - 1) AS number
CROSS JOIN LATERAL hashint8extended(number, %(seed)s::bigint + 3) AS h
