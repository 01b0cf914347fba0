-- Without it nobody would know what a removal that is under way has taken. No batch
-- may come between this look and the end.
LOCK TABLE ops.archive, ops.thaws IN ACCESS EXCLUSIVE MODE;
DO $$
BEGIN
    IF EXISTS (SELECT FROM ops.archive WHERE state = 'purging' AND purged_through IS NOT NULL)
        OR EXISTS (SELECT FROM ops.thaws WHERE state = 'refreezing' AND purged_through IS NOT NULL)
    THEN
        RAISE EXCEPTION 'a removal of a month is under way'
            USING ERRCODE = 'object_in_use',
                  HINT = 'Let purge_archived_content, or the end of the thaw, come to its end first.';
    END IF;
END
$$;
DROP VIEW ops.thaw_status;
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
ALTER TABLE ops.thaws DROP COLUMN purged_through;
ALTER TABLE ops.audit_archive DROP COLUMN purged_through;
ALTER TABLE ops.archive DROP COLUMN purged_through;
