-- What the operations know of indexes and of frozen partitions.

-- One row an index and physical file: what its size was estimated to become by a rebuild, and
-- what it became.
CREATE TABLE ops.index_estimates (
    schema_name text NOT NULL,
    index_name text NOT NULL,
    file_node bigint NOT NULL,
    method text NOT NULL CHECK (method IN ('range probe', 'density', 'size ratio', 'unknown')),
    is_certain boolean NOT NULL,
    bytes bigint NOT NULL,
    rows bigint NOT NULL,
    estimated_bytes bigint,
    -- Of an index whose size cannot be computed, the best that was seen.
    least_bytes_per_row double precision,
    problem text,
    estimated_at timestamptz NOT NULL DEFAULT now(),
    rebuilt_bytes bigint,
    rebuilt_at timestamptz,
    PRIMARY KEY (schema_name, index_name, file_node),
    CONSTRAINT index_estimates_known CHECK (
        (method = 'unknown') = (estimated_bytes IS NULL)
        AND (method = 'unknown') = (problem IS NOT NULL)
    )
);

-- How often each index had been scanned when we last looked, our own scans included, and since when
-- nobody else has.
CREATE TABLE ops.index_usage (
    schema_name text NOT NULL,
    index_name text NOT NULL,
    scans bigint NOT NULL,
    unused_since timestamptz NOT NULL,
    PRIMARY KEY (schema_name, index_name)
);

-- The journal of rebuilds. A row is written before REINDEX begins; one that is still "begun" when
-- nobody works on it was left by a run that died.
CREATE TABLE ops.index_rebuilds (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name text NOT NULL,
    table_name text NOT NULL,
    index_name text NOT NULL,
    -- Without the index's name: a leftover's definition must be equal to it.
    definition text NOT NULL,
    file_node bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('begun', 'rebuilt', 'failed', 'stopped')),
    -- Invalid indexes of the same shape that were there before: they are somebody else's.
    foreign_leftovers oid[] NOT NULL,
    leftovers oid[] NOT NULL DEFAULT '{}',
    bytes_before bigint NOT NULL,
    bytes_estimated bigint,
    bytes_after bigint,
    -- Bytes that the rebuild has to read and write: what its duration is predicted from.
    work_bytes bigint NOT NULL,
    predicted_seconds double precision NOT NULL,
    seconds double precision,
    quiet_canary_ms double precision,
    worst_canary_ms double precision,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    run_id text,
    error text,
    CONSTRAINT index_rebuilds_finished CHECK ((state = 'begun') = (finished_at IS NULL))
);
CREATE INDEX index_rebuilds_index ON ops.index_rebuilds (schema_name, index_name, started_at);

-- Partitions of months that are over: when their counters were seen, and whether they were frozen.
CREATE TABLE ops.frozen_partitions (
    table_oid oid NOT NULL,
    file_node bigint NOT NULL,
    table_name text NOT NULL,
    changes bigint NOT NULL,
    seen_at timestamptz NOT NULL,
    frozen_at timestamptz,
    PRIMARY KEY (table_oid, file_node)
);

GRANT SELECT ON
    ops.index_estimates, ops.index_usage, ops.index_rebuilds, ops.frozen_partitions
    TO ft_readonly;
