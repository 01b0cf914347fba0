-- name: last_claim
-- The newest claim of this database, 0 when it has made none; by the primary key.
SELECT coalesce(max(number), 0)
FROM ops.backup_claims
WHERE bucket = %(bucket)s
  AND cluster = %(cluster)s
  AND is_certain;

-- name: note_claim
-- One row, before the claim is written: by it a run that comes after a crash knows it again.
INSERT INTO ops.backup_claims (bucket, cluster, number, sha256)
VALUES (%(bucket)s, %(cluster)s, %(number)s, %(sha256)s);

-- name: recognize_claim
-- One row, if this database has made it.
UPDATE ops.backup_claims
SET is_certain = true
WHERE bucket = %(bucket)s
  AND cluster = %(cluster)s
  AND number = %(number)s
  AND sha256 = %(sha256)s;

-- name: claimant
-- For people alone: where this database is. No lock.
SELECT
    current_database()::text AS name,
    coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'a local socket') AS address;
