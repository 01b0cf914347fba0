-- Lets each batch read its buckets only: unindexed, the whole month would be read for every batch.
-- Sorted already; the session's own table.
CREATE INDEX ON purge_ids (bucket);
