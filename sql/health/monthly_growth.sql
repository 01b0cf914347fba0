-- What came into being in each month since one, oldest first: segments still in the database,
-- families, users. Segments are counted in their month's index on created_at, of the months asked
-- for only. ACCESS SHARE only.
SELECT
    m.month::date AS month,
    (
        SELECT count(*)
        FROM content_segments AS cs
        WHERE cs.created_at >= m.month AND cs.created_at < m.month + interval '1 month'
    ) AS segments,
    (
        SELECT count(*)
        FROM families AS f
        WHERE f.created_at >= m.month AND f.created_at < m.month + interval '1 month'
    ) AS families,
    (
        SELECT count(*)
        FROM users AS u
        WHERE u.created_at >= m.month AND u.created_at < m.month + interval '1 month'
    ) AS users
FROM generate_series(%(first)s::timestamptz, %(last)s::timestamptz, interval '1 month') AS m (month)
ORDER BY m.month;
