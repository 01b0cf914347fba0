-- The month's ids by bucket: each batch reads its part of this narrow table and probes the month by
-- id. One scan of the month.
CREATE TEMPORARY TABLE purge_ids AS
SELECT id, get_byte(uuid_send(id), 15)::smallint AS bucket
FROM {segments}
ORDER BY bucket;
