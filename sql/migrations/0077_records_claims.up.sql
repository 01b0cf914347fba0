-- Which claims on an archive's folder this database has made: whoever writes or removes there claims it
-- first, so that a copy of this database with the same settings is noticed, by both.
CREATE TABLE ops.records_claims (
    bucket text NOT NULL,
    prefix text NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    -- Of the claim's object.
    sha256 text NOT NULL,
    -- What this database was when it made it: a copy is another.
    system_identifier text NOT NULL,
    database_oid bigint NOT NULL,
    timeline integer NOT NULL,
    -- The claims up to this one that were a copy's: what they name counts for nothing.
    disowned integer[] NOT NULL DEFAULT '{}',
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- False: it was about to be written, and whoever did it has not said that it was.
    is_certain boolean NOT NULL DEFAULT false,
    PRIMARY KEY (bucket, prefix, number, sha256)
);
-- A claim of ours is known by its content, also in the second copy's bucket.
CREATE INDEX records_claims_sha256_idx ON ops.records_claims (sha256);
GRANT SELECT ON ops.records_claims TO ft_readonly;
