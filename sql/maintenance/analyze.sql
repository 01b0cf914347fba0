-- SHARE UPDATE EXCLUSIVE on the table, and on the partitions of a parent: reads and writes go on.
-- Reads 30,000 rows of each at the default statistics target.
ANALYZE ({options}) {table};
