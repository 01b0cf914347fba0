DROP TABLE ops.metric_samples;
