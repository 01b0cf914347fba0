-- ACCESS EXCLUSIVE on the parent: every reader and writer waits until the transaction ends.
LOCK TABLE {parent} IN ACCESS EXCLUSIVE MODE;
