-- One measure over time, oldest first: a range of the primary key. ACCESS SHARE only.
SELECT
    s.sampled_at,
    s.value
FROM ops.metric_samples AS s
WHERE s.metric = %(metric)s
  AND s.subject = %(subject)s
  AND s.sampled_at >= %(since)s
ORDER BY s.sampled_at;
