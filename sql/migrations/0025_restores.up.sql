-- What was brought back into the database, and which tombstones were withdrawn for it.

CREATE TABLE ops.restores (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('family', 'book', 'thread', 'user')),
    subject uuid NOT NULL,
    -- The restore point or the generations of the archive that the rows came from, in words.
    source text NOT NULL,
    -- The moment whose rows the copy held; NULL where that is not one moment.
    as_of timestamptz,
    overwrote boolean NOT NULL,
    -- Table → how many rows were inserted and overwritten.
    rows jsonb NOT NULL,
    run_id text,
    restored_by text NOT NULL DEFAULT session_user,
    restored_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX restores_subject ON ops.restores (subject);

-- A tombstone that somebody has named as that of a mistaken deletion. Ids only, no content.
CREATE TABLE ops.withdrawn_erasures (
    kind text NOT NULL,
    id uuid NOT NULL,
    month date,
    erased_at timestamptz NOT NULL,
    reason text NOT NULL CHECK (reason ~ '\S'),
    run_id text,
    withdrawn_by text NOT NULL DEFAULT session_user,
    withdrawn_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, id, erased_at)
);

GRANT SELECT ON ops.restores, ops.withdrawn_erasures TO ft_readonly;
