-- A relation: the segments of some buckets. Index probes of the month by id.
(
    SELECT s.*
    FROM purge_ids AS p
    JOIN {segments} AS s ON s.id = p.id
    WHERE p.bucket = ANY ({buckets})
);
