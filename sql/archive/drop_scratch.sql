-- A table that only this month's run uses.
DROP TABLE IF EXISTS {scratch};
