-- Where the records of this database's archive lie: whoever names another bucket or folder gets all of
-- them there, and not only those that come from then on.
CREATE TABLE ops.records_folder (
    bucket text NOT NULL,
    prefix text NOT NULL,
    used_since timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- One row at most.
    is_current boolean PRIMARY KEY DEFAULT true CHECK (is_current)
);
GRANT SELECT ON ops.records_folder TO ft_readonly;
