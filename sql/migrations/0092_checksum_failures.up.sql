-- Pages that did not match their checksums, the most that each database's counter has shown: a server
-- that crashes begins to count anew, and the pages are as damaged as before. A row stands until a person
-- who has looked deletes it.
CREATE TABLE ops.checksum_failures (
    -- 0 of what all databases share.
    database_oid oid PRIMARY KEY,
    database_name text NOT NULL,
    failures bigint NOT NULL CHECK (failures > 0),
    last_failure timestamptz NOT NULL,
    seen_at timestamptz NOT NULL
);

GRANT SELECT ON ops.checksum_failures TO ft_readonly;
