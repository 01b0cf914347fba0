-- The first statement of a snapshot: its name, and a moment before which everything visible was
-- committed. The clock is read before the snapshot is taken: statement_timestamp() is when the
-- statement arrived.
SELECT
    statement_timestamp() AS moment,
    pg_current_snapshot()::text AS snapshot;
