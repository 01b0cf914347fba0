-- Moves sums by what they were found to be off.
INSERT INTO ops.storage_users AS s (user_id, segments, bytes)
SELECT owner_id, segments, bytes
FROM pg_temp.storage_corrections
ON CONFLICT (user_id) DO UPDATE SET
    segments = s.segments + excluded.segments,
    bytes = s.bytes + excluded.bytes;
