-- name: insert_samples
-- One row a measurement, all of one moment; of two things of one name, such as replicas that nobody named,
-- the larger. ROW EXCLUSIVE on ops.metric_samples.
INSERT INTO ops.metric_samples (sampled_at, metric, subject, value)
SELECT
    %(at)s,
    sample.metric,
    sample.subject,
    max(sample.value)
FROM unnest(%(metrics)s::text[], %(subjects)s::text[], %(values)s::float8[])
    AS sample (metric, subject, value)
GROUP BY sample.metric, sample.subject;

-- name: series
-- One measure over time, oldest first: a range of the primary key. What a clock has dated after now is
-- left out, and what is no number, or beyond anything that can be counted. ACCESS SHARE only.
SELECT
    s.sampled_at,
    s.value
FROM ops.metric_samples AS s
WHERE s.metric = %(metric)s
  AND s.subject = %(subject)s
  AND s.sampled_at >= %(since)s
  AND s.sampled_at <= %(until)s
  AND abs(s.value) < 1e100
ORDER BY s.sampled_at;

-- name: latest_samples
-- The newest value of every measure taken since a moment; reads what was sampled since then, so
-- keep that moment near. Without what a clock has dated after now, and what is no number: the one
-- before is known, for as long as it is not too old. ACCESS SHARE only.
SELECT DISTINCT ON (s.metric, s.subject)
    s.metric,
    s.subject,
    s.value,
    s.sampled_at
FROM ops.metric_samples AS s
WHERE s.sampled_at >= %(since)s
  AND s.sampled_at <= %(until)s
  AND abs(s.value) < 1e100
ORDER BY s.metric, s.subject, s.sampled_at DESC;

-- name: samples_ahead
-- How many figures a clock has dated after now, and how far the furthest is. Reads the table, which is
-- small. ACCESS SHARE only.
SELECT count(*), max(s.sampled_at)
FROM ops.metric_samples AS s
WHERE s.sampled_at > %(until)s;

-- name: drop_chunks
-- Whole chunks that hold nothing younger: ACCESS EXCLUSIVE on each for the moment of its removal.
SELECT count(*) FROM drop_chunks('ops.metric_samples', older_than => %(before)s::timestamptz);

-- name: delete_samples
-- Samples of the plain table that are older: some hundred a day, read by a scan of the table,
-- which is small. ROW EXCLUSIVE.
DELETE FROM ops.metric_samples WHERE sampled_at < %(before)s;

-- name: samples_are_hypertable
-- Whether ops.metric_samples is a TimescaleDB hypertable. Run it only where that view exists.
SELECT EXISTS (
    SELECT
    FROM timescaledb_information.hypertables
    WHERE hypertable_schema = 'ops'
      AND hypertable_name = 'metric_samples'
);
