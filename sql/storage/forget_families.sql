-- Sums of families that are gone.
DELETE FROM ops.storage_families AS t
WHERE NOT EXISTS (SELECT FROM families AS f WHERE f.id = t.family_id);
