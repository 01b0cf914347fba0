-- Eight members a family. In every fifth one, seat 6 is taken by the next family's seat 3, a
-- user who then belongs to two families. Writes only to the temporary table.
INSERT INTO sample_seats (family, seat, user_number, user_id)
SELECT family, seat, user_number, md5(%(seed)s::text || ':user:' || user_number)::uuid
FROM generate_series(0, %(families)s::integer - 1) AS family
CROSS JOIN generate_series(0, 7) AS seat
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN seat = 6 AND mod(family, 5) = 0 AND %(families)s::integer > 1
                THEN mod(family + 1, %(families)s::integer) * 8 + 3
            ELSE family * 8 + seat
        END AS user_number
) AS occupant
