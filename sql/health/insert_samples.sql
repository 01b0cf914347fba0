-- One row a measurement, all of one moment. ROW EXCLUSIVE on ops.metric_samples.
INSERT INTO ops.metric_samples (sampled_at, metric, subject, value)
SELECT
    %(at)s,
    sample.metric,
    sample.subject,
    sample.value
FROM unnest(%(metrics)s::text[], %(subjects)s::text[], %(values)s::float8[])
    AS sample (metric, subject, value);
