-- How many users there are, how many of them a sample made, and under which seeds.
-- Reads all of users once, under ACCESS SHARE.
SELECT
    count(*),
    count(*) FILTER (WHERE clerk_id ~ '^sample_\d+_\d+$'),
    array_agg(DISTINCT split_part(clerk_id, '_', 2)) FILTER (WHERE clerk_id ~ '^sample_\d+_\d+$')
FROM users
