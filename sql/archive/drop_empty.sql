-- A table that a dead run created and never filled; ACCESS EXCLUSIVE for an instant on the tables
-- that its foreign keys reference.
DROP TABLE {archived};
