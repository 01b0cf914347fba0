-- Whole chunks that hold nothing younger: ACCESS EXCLUSIVE on each for the moment of its removal.
SELECT count(*) FROM drop_chunks('ops.metric_samples', older_than => %(before)s::timestamptz);
