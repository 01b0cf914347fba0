-- Whether ops.metric_samples is a TimescaleDB hypertable. Run it only where that view exists.
SELECT EXISTS (
    SELECT
    FROM timescaledb_information.hypertables
    WHERE hypertable_schema = 'ops'
      AND hypertable_name = 'metric_samples'
);
