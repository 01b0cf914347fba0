-- The newest value of every measure taken since a moment; reads what was sampled since then, so
-- keep that moment near. ACCESS SHARE only.
SELECT DISTINCT ON (s.metric, s.subject)
    s.metric,
    s.subject,
    s.value,
    s.sampled_at
FROM ops.metric_samples AS s
WHERE s.sampled_at >= %(since)s
ORDER BY s.metric, s.subject, s.sampled_at DESC;
