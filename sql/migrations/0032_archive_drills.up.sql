-- Archived months that were retrieved, loaded beside and proven, and how that ended.
CREATE TABLE ops.archive_drills (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    month date NOT NULL CHECK (month = date_trunc('month', month)),
    generations integer[] NOT NULL,
    -- Of which bucket the objects are read.
    copy text NOT NULL CHECK (copy IN ('first', 'second')),
    -- 'asked': Glacier was asked, and nobody has read them yet.
    state text NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'proven', 'refuted', 'unknown')),
    estimate jsonb NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    certificate jsonb,
    error text,
    run_id text,
    CONSTRAINT archive_drills_ended CHECK ((state = 'asked') = (finished_at IS NULL))
);
CREATE UNIQUE INDEX archive_drills_one_at_a_time ON ops.archive_drills (state) WHERE state = 'asked';
CREATE UNIQUE INDEX archive_drills_ends ON ops.archive_drills (month, finished_at);

GRANT SELECT ON ops.archive_drills TO ft_readonly;
