-- How far a removal has come: it takes a month's segments in the order of their ids, some at a time, and
-- records the last id of each batch in the batch's transaction. purged_buckets is what the removals of
-- earlier versions recorded; a removal that one of them began goes on from both.
ALTER TABLE ops.archive ADD COLUMN purged_through uuid;
ALTER TABLE ops.audit_archive ADD COLUMN purged_through uuid;
ALTER TABLE ops.thaws ADD COLUMN purged_through uuid;

CREATE OR REPLACE VIEW ops.thaw_status AS
SELECT
    t.month,
    t.id AS thaw,
    t.purpose,
    t.state,
    t.family_id,
    t.generations,
    t.tier,
    t.days,
    t.requested_at,
    t.thawed_at,
    t.expires_at,
    t.done_at,
    t.left_out,
    cardinality(t.purged_buckets) AS refrozen_buckets,
    t.run_id,
    t.error,
    t.purged_through AS refrozen_through
FROM ops.thaws AS t
ORDER BY t.month, t.id;
