-- ACCESS EXCLUSIVE on a table that stands alone, until the transaction ends.
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;
