-- The newest inventories that added an object, and that resized or lost one. The first one
-- counts as altering every size; both are 0 when there is none.
SELECT
    coalesce(max(id) FILTER (WHERE i.added > 0), 0) AS added,
    coalesce(max(id) FILTER (WHERE i.altered > 0), min(id), 0) AS altered
FROM ops.media_inventories AS i;
