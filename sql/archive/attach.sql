-- SHARE UPDATE EXCLUSIVE on the archive's parent, SHARE ROW EXCLUSIVE on threads and users, for
-- milliseconds: the CHECK that the detach left behind equals the bounds, so nothing is scanned.
ALTER TABLE {parent} ATTACH PARTITION {archived} FOR VALUES FROM ({lower}) TO ({upper});
