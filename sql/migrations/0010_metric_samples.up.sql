-- Measurements over time: sizes, rows, latencies. Where the server has TimescaleDB, the asset
-- `schema` makes it a hypertable; its key holds the time column because a hypertable's must.
CREATE TABLE ops.metric_samples (
    sampled_at timestamptz NOT NULL CHECK (isfinite(sampled_at)),
    metric text NOT NULL CHECK (metric <> ''),
    -- What was measured: a table, a month, a query; empty for the database as a whole.
    subject text NOT NULL DEFAULT '',
    value double precision NOT NULL,
    PRIMARY KEY (metric, subject, sampled_at)
);

GRANT SELECT ON ops.metric_samples TO ft_readonly;
