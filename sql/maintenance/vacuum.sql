-- SHARE UPDATE EXCLUSIVE on the table: reads and writes go on. Outside a transaction only.
VACUUM ({options}) {table};
