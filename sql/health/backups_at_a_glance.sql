-- The newest complete backup of each kind, and how many of the newest ended badly since. One row a
-- kind that was ever tried.
SELECT
    b.kind,
    max(b.point_at) FILTER (WHERE b.state = 'complete') AS newest_point,
    count(*) FILTER (WHERE b.state = 'missing') AS missing
FROM ops.backups AS b
WHERE b.state <> 'deleted'
GROUP BY b.kind
ORDER BY b.kind;
