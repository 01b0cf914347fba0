-- What became of a rebuild, by the catalog.
UPDATE ops.index_rebuilds
SET
    state = %(state)s,
    leftovers = %(leftovers)s::bigint[]::oid[],
    bytes_after = %(bytes_after)s,
    seconds = coalesce(
        %(seconds)s, extract(epoch FROM clock_timestamp() - started_at)::float8
    ),
    quiet_canary_ms = %(quiet_canary_ms)s,
    worst_canary_ms = %(worst_canary_ms)s,
    finished_at = clock_timestamp(),
    error = %(error)s
WHERE id = %(id)s;
