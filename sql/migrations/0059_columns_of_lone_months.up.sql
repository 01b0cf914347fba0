-- A month's table stands alone while it moves, and while it is removed or brought back. A migration
-- that drops a column meanwhile, and adds one of the same name, does so without it: its old values
-- would come into the new column. So what its columns were at its parent is noted before, by their
-- numbers, which no column has after another.
CREATE TABLE ops.lone_columns (
    relation oid NOT NULL,
    name text NOT NULL,
    number smallint NOT NULL,
    parent oid NOT NULL,
    parent_number smallint NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (relation, name)
);
GRANT SELECT ON ops.lone_columns TO ft_readonly;
