-- Which claims on the backups' bucket this database has made: whoever writes or deletes there claims it
-- first, so that a copy of this database with the same settings is noticed, by both.
CREATE TABLE ops.backup_claims (
    bucket text NOT NULL,
    -- The backups of one cluster: its system identifier, or what RDS calls the instance.
    cluster text NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    -- Of the claim's object. A row is written before it: of two claims of one number one is there.
    sha256 text NOT NULL,
    -- False: it was about to be written, and whoever did it has not said that it was.
    is_certain boolean NOT NULL DEFAULT false,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (bucket, cluster, number, sha256)
);
GRANT SELECT ON ops.backup_claims TO ft_readonly;
