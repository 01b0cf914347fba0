-- What became of the erased in copies that were restored to see that nobody comes back.
CREATE TABLE ops.erasure_rehearsals (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The restore point of the copy: what was erased after it was in it.
    point text NOT NULL,
    point_at timestamptz NOT NULL,
    held_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    verdict text NOT NULL CHECK (verdict IN ('proven', 'refuted', 'unknown')),
    tombstones bigint NOT NULL,
    -- The newest of them.
    newest timestamptz,
    deleted bigint NOT NULL,
    -- By table, rows that were erased and are there all the same.
    rows_left jsonb NOT NULL,
    problem text NOT NULL,
    run_id text
);

GRANT SELECT ON ops.erasure_rehearsals TO ft_readonly;
