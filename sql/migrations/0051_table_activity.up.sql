-- What the server's counters said of each larger table, day by day: what the advice on its settings
-- is taken from. Counters count since the server's own beginning; figures of weeks are differences.
CREATE TABLE ops.table_activity (
    table_oid oid NOT NULL,
    looked_at timestamptz NOT NULL,
    live_rows bigint NOT NULL,
    dead_rows bigint NOT NULL,
    updated bigint NOT NULL,
    hot_updated bigint NOT NULL,
    -- Updates that found no room on their row's page; not counted before PostgreSQL 16.
    newpage_updated bigint,
    deleted bigint NOT NULL,
    autovacuums bigint NOT NULL,
    -- Rows above which autovacuum came, as the settings were at that moment.
    vacuum_trigger double precision NOT NULL,
    -- Whether something kept dead rows from being removed, however often a vacuum came.
    was_held_back boolean NOT NULL,
    PRIMARY KEY (table_oid, looked_at)
);

GRANT SELECT ON ops.table_activity TO ft_readonly;
