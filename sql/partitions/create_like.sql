-- A table of the parent's shape, not yet its partition. ACCESS SHARE on the parent: CREATE TABLE
-- … PARTITION OF would take ACCESS EXCLUSIVE and queue every reader behind it.
CREATE TABLE {partition} (
    LIKE {parent} INCLUDING ALL
);
