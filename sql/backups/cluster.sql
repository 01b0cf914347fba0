-- Which cluster this is, and the size of its WAL segments in bytes.
SELECT
    (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
    (SELECT bytes_per_wal_segment FROM pg_control_init()) AS segment_bytes;
