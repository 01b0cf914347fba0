-- Samples of the plain table that are older: some hundred a day, read by a scan of the table,
-- which is small. ROW EXCLUSIVE.
DELETE FROM ops.metric_samples WHERE sampled_at < %(before)s;
