-- A table that was found empty under ACCESS EXCLUSIVE in this transaction.
DROP TABLE {table};
