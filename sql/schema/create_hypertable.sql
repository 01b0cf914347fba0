-- ACCESS EXCLUSIVE on ops.metric_samples while its rows move into chunks of 30 days; nobody but
-- the operations uses it. No effect where it is a hypertable already.
SELECT create_hypertable(
    'ops.metric_samples',
    'sampled_at',
    chunk_time_interval => interval '30 days',
    create_default_indexes => false,
    if_not_exists => true,
    migrate_data => true
);
