-- The ledger of the audit log's months in the archive: what ops.archive is of the segments'. A month
-- of it is a table without children. It stays in audit_log until it is purged.
CREATE TABLE ops.audit_archive (
    LIKE ops.archive INCLUDING ALL,
    -- Days for which a month that was asked back is to stay, while its rows are not there yet.
    asked_days integer CHECK (asked_days > 0),
    -- A month that was brought back is not purged before.
    kept_until timestamptz,
    -- The state of this row that the bucket holds a copy of.
    recorded_at timestamptz
);

CREATE FUNCTION ops.date_audit_generation() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    -- That the bucket knows it is no change of it.
    IF NEW.recorded_at IS NOT DISTINCT FROM OLD.recorded_at THEN
        NEW.updated_at := clock_timestamp();
    END IF;
    RETURN NEW;
END
$$;
-- Who may make a temporary table could attach it there.
REVOKE EXECUTE ON FUNCTION ops.date_audit_generation() FROM PUBLIC;
CREATE TRIGGER set_updated_at BEFORE UPDATE ON ops.audit_archive
    FOR EACH ROW EXECUTE FUNCTION ops.date_audit_generation();

-- The state of every month at a glance.
CREATE VIEW ops.audit_archive_status AS
SELECT
    a.month,
    a.generation,
    a.state,
    (a.row_counts ->> 'audit_log')::bigint AS rows,
    sizes.objects,
    sizes.bytes,
    sizes.storage_classes,
    a.exported_at,
    a.proven_at,
    a.frozen_at,
    a.purged_at,
    a.asked_days,
    a.kept_until,
    a.error
FROM ops.audit_archive AS a
CROSS JOIN LATERAL (
    SELECT
        count(*) AS objects,
        sum((o -> 'stored' ->> 'bytes')::bigint) AS bytes,
        string_agg(DISTINCT o -> 'stored' ->> 'storage_class', ', ') AS storage_classes
    FROM jsonb_array_elements(a.objects) AS o
) AS sizes
ORDER BY a.month, a.generation;

GRANT SELECT ON ops.audit_archive, ops.audit_archive_status TO ft_readonly;
