-- The month's ids by bucket, so that a batch finds its rows by index. One scan of the month.
CREATE TEMPORARY TABLE purge_ids AS
SELECT id, get_byte(uuid_send(id), 15)::smallint AS bucket
FROM {segments}
ORDER BY bucket;
