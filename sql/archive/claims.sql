-- name: database_identity
-- What tells a database from its copies. A copied one has another oid, or is on another server or, when
-- it was recovered or promoted, on another timeline. That is asked of the log which is written: the
-- control file names the one before until the first checkpoint after a promotion has ended, for minutes.
-- No lock.
SELECT
    s.system_identifier::text,
    d.oid::bigint,
    CASE
        WHEN pg_is_in_recovery() THEN c.timeline_id
        ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
    END AS timeline,
    d.datname::text,
    coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'a local socket') AS address
FROM pg_control_system() AS s
CROSS JOIN pg_control_checkpoint() AS c
JOIN pg_database AS d ON d.datname = current_database();

-- name: database_identity_alone
-- The same where the server does not let its control file be read. No lock.
SELECT
    d.oid::bigint,
    0 AS timeline,
    d.datname::text,
    coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'a local socket') AS address
FROM pg_database AS d
WHERE d.datname = current_database();

-- name: last_claim
-- The newest of this database in a folder; by the primary key.
SELECT number, sha256, system_identifier, database_oid, timeline, disowned
FROM ops.records_claims
WHERE bucket = %(bucket)s
  AND prefix = %(prefix)s
  AND is_certain
ORDER BY number DESC
LIMIT 1;

-- name: note_claim
-- One row, before the claim is written: by it a run that comes after a crash knows it again.
INSERT INTO ops.records_claims (
    bucket, prefix, number, sha256, system_identifier, database_oid, timeline, disowned
)
VALUES (
    %(bucket)s, %(prefix)s, %(number)s, %(sha256)s, %(system_identifier)s, %(oid)s, %(timeline)s,
    %(disowned)s
);

-- name: recognize_claim
-- One row, if this database has made it, in whatever folder: the second copy's has the same.
INSERT INTO ops.records_claims (
    bucket, prefix, number, sha256, system_identifier, database_oid, timeline, disowned, claimed_at,
    is_certain
)
SELECT
    %(bucket)s, %(prefix)s, c.number, c.sha256, c.system_identifier, c.database_oid, c.timeline,
    c.disowned, c.claimed_at, true
FROM ops.records_claims AS c
WHERE c.sha256 = %(sha256)s
ORDER BY c.bucket, c.prefix
LIMIT 1
ON CONFLICT (bucket, prefix, number, sha256) DO UPDATE SET is_certain = true;
