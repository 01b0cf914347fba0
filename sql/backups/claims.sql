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

-- name: recognize_moved_claims
-- This database's claims up to one, if it has made that one in a bucket of another name: its content was
-- moved here. Reads the table once, when a claim is none of this bucket's; locks only the new rows.
INSERT INTO ops.backup_claims (bucket, cluster, number, sha256, is_certain)
SELECT DISTINCT %(bucket)s, known.cluster, known.number, known.sha256, true
FROM ops.backup_claims AS moved
JOIN ops.backup_claims AS known USING (bucket, cluster)
WHERE moved.cluster = %(cluster)s
  AND moved.number = %(number)s
  AND moved.sha256 = %(sha256)s
  AND known.number <= moved.number
  AND (known.is_certain OR known.number = moved.number AND known.sha256 = moved.sha256)
ON CONFLICT (bucket, cluster, number, sha256) DO UPDATE SET is_certain = true;

-- name: certain_claims
-- The numbers of this database's claims; by the primary key.
SELECT number
FROM ops.backup_claims
WHERE bucket = %(bucket)s
  AND cluster = %(cluster)s
  AND is_certain;

-- name: claimant
-- For people alone: where this database is. No lock.
SELECT
    current_database()::text AS name,
    coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'a local socket') AS address;
