-- The state of every thaw, in a row that fits on a screen: ops.thaws has kilobytes of digests in each.
CREATE VIEW ops.thaw_status AS
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
    t.error
FROM ops.thaws AS t
ORDER BY t.month, t.id;

GRANT SELECT ON ops.thaw_status TO ft_readonly;
