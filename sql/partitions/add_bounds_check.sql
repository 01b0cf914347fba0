-- ACCESS EXCLUSIVE on a table that stands alone, for an instant: NOT VALID scans nothing.
ALTER TABLE {table}
    DROP CONSTRAINT IF EXISTS repair_bounds,
    ADD CONSTRAINT repair_bounds CHECK (created_at >= {lower} AND created_at < {upper}) NOT VALID;
